"""Softmax attention: N5 (tiles and split keys equal the naive form), masks, sinks, the pair count of the work term."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.ops import work
from simulator.ops.attention import Attention
from simulator.ops.softmax_attention import attention, merge, partial_attention, tiled_attention, visible, with_sink


def qkv(seed: int, q: int, kv: int, dtype: type = np.float64) -> tuple[np.ndarray, ...]:
    g = np.random.default_rng(seed)
    shapes = ((2, q, 4, 8), (2, kv, 2, 8), (2, kv, 2, 6))
    return tuple((2.0 * g.normal(size=s)).astype(dtype) for s in shapes)


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("tile", [1, 3, 7, 64])
def test_n5_tiled_online_softmax_equals_naive(dtype: type, bound: float, tile: int) -> None:
    q, k, v = qkv(1, 5, 17, dtype)
    sinks = np.random.default_rng(2).normal(size=4).astype(dtype)
    mask = visible(5, 17, causal=True, window=6)
    naive, lse = attention(q, k, v, mask, 0.3, sinks)
    tiled, tiled_lse = tiled_attention(q, k, v, mask, 0.3, tile, sinks)
    assert relative(tiled, naive) < bound
    assert relative(tiled_lse, lse) < bound


def test_n5_split_keys_merge_by_log_sum_exp_in_any_order() -> None:
    q, k, v = qkv(3, 4, 12)
    mask = visible(4, 12)
    parts = [
        partial_attention(q, k[:, c], v[:, c], mask[:, :, c], 0.3) for c in (slice(8, 12), slice(0, 3), slice(3, 8))
    ]
    merged = with_sink(*merge(parts[0], merge(parts[1], parts[2])), None)
    np.testing.assert_allclose(merged[0], attention(q, k, v, mask, 0.3)[0], rtol=1e-12)


def test_attention_is_a_softmax_written_out() -> None:
    q, k, v = qkv(4, 3, 5)
    (out,) = Attention().reference(q, k, v)
    for h in range(4):
        for i in range(3):
            seen = 5 - 3 + i + 1
            logits = k[1, :seen, h // 2] @ q[1, i, h] / np.sqrt(8)
            p = np.exp(logits) / np.exp(logits).sum()
            np.testing.assert_allclose(out[1, i, h], p @ v[1, :seen, h // 2], rtol=1e-12)


def test_a_sink_is_an_extra_key_without_value() -> None:
    q, k, v = qkv(5, 1, 6)
    sinks = np.array([0.5, -1.0, 2.0, 0.0])
    (out,) = Attention(scale=0.2).reference(q, k, v, sinks)
    for h in range(4):
        logits = np.append(k[0, :, h // 2] @ q[0, 0, h] * 0.2, sinks[h])
        p = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(out[0, 0, h], p[:-1] @ v[0, :, h // 2], rtol=1e-12)


def test_a_query_that_sees_nothing_gives_zero_and_infinite_lse() -> None:
    q, k, v = qkv(6, 2, 4)
    mask = visible(2, 4).copy()
    mask[:, 0] = False
    out, lse = attention(q, k, v, mask, 1.0)
    assert not out[:, 0].any()
    assert np.isposinf(lse[:, 0]).all()
    assert np.isfinite(lse[:, 1]).all()
    tiled, tiled_lse = tiled_attention(q, k, v, mask, 1.0, 2)
    np.testing.assert_allclose(tiled, out, atol=1e-15)
    np.testing.assert_array_equal(np.isinf(tiled_lse), np.isinf(lse))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 15), st.booleans())
def test_pairs_of_the_work_term_are_the_true_entries_of_the_mask(q: int, past: int, window: int, causal: bool) -> None:
    kv = q + past
    term = work.Attention(1, q, kv, 1, 1, 8, 8, causal=causal, window=window)
    assert term.pairs() == visible(q, kv, causal, window).sum()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 15))
def test_kv_bytes_are_the_keys_any_query_sees(q: int, past: int, window: int) -> None:
    kv = q + past
    term = work.Attention(1, q, kv, 1, 1, 8, 8, window=window)
    assert term.kv_bytes() == visible(q, kv, True, window).any(axis=1).sum() * 32
