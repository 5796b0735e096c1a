"""N3, N4: sparse gather equals masked dense attention for any index set; selection of everything equals dense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.ops.attention import Attention
from simulator.ops.indexer import IndexerScores
from simulator.ops.mla import MlaAbsorbedAttention
from simulator.ops.softmax_attention import attention, visible
from simulator.ops.sparse_attention import (
    IndexMaskedAttention,
    SparseMlaAttention,
    gathered_attention,
    index_mask,
    selected_pairs,
)
from simulator.ops.tensor import TensorSpec
from simulator.ops.top_k import TopK


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 6), st.integers(1, 8))
def test_n4_gather_equals_masked_dense_for_any_index_set(seed: int, q_len: int, past: int, k: int) -> None:
    g = np.random.default_rng(seed)
    kv = q_len + past
    q, cache = g.normal(size=(2, q_len, 3, 10)), g.normal(size=(2, kv, 10))
    indices = np.stack([[g.permutation(kv)[:k] for _ in range(q_len)] for _ in range(2)])
    indices = np.where(g.random(indices.shape) < 0.4, -1, indices)
    out, lse = gathered_attention(q, cache, indices, 0.4, 8)
    keys = cache[:, :, None]
    dense, dense_lse = attention(q, keys, keys[..., :8], index_mask(indices, kv), 0.4)
    np.testing.assert_allclose(out, dense, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(lse, dense_lse, rtol=1e-12)


def test_n4_query_without_valid_key_gives_zero_and_infinite_lse() -> None:
    g = np.random.default_rng(0)
    q, cache = g.normal(size=(1, 2, 3, 10)), g.normal(size=(1, 4, 10))
    indices = np.array([[[-1, -1], [2, -1]]])
    out, lse = gathered_attention(q, cache, indices, 0.4, 8)
    assert not out[0, 0].any()
    assert np.isposinf(lse[0, 0]).all()
    np.testing.assert_allclose(out[0, 1], np.broadcast_to(cache[0, 2, :8], (3, 8)), rtol=1e-12)


def test_n3_selecting_every_visible_key_equals_dense_causal() -> None:
    g = np.random.default_rng(1)
    q, cache = g.normal(size=(2, 5, 3, 10)), g.normal(size=(2, 7, 10))
    index_q, index_k, w = g.normal(size=(2, 5, 4, 8)), g.normal(size=(2, 7, 8)), g.normal(size=(2, 5, 4))
    (indices,) = TopK(7).reference(*IndexerScores().reference(index_q, index_k, w))
    assert ((indices >= 0).sum(axis=-1) == np.arange(3, 8)).all()
    (sparse,) = SparseMlaAttention(8, 0.4).reference(q, cache, indices)
    np.testing.assert_allclose(sparse, MlaAbsorbedAttention(8, 0.4).reference(q, cache)[0], rtol=1e-12)
    k, v = g.normal(size=(2, 7, 1, 10)), g.normal(size=(2, 7, 1, 6))
    (masked,) = IndexMaskedAttention().reference(q, k, v, indices)
    np.testing.assert_array_equal(masked, Attention().reference(q, k, v)[0])


def test_masked_mha_equals_sparse_mqa_on_the_same_selection() -> None:
    """The short-prefill mode computes the same attention as the gather (keys shared, values a slice of the key)."""
    g = np.random.default_rng(2)
    q, cache = g.normal(size=(1, 6, 3, 10)), g.normal(size=(1, 6, 10))
    scores = np.where(visible(6, 6), g.normal(size=(1, 6, 6)), -np.inf)
    (indices,) = TopK(3).reference(scores)
    keys = cache[:, :, None]
    (masked,) = IndexMaskedAttention(0.4).reference(q, keys, keys[..., :8], indices)
    (sparse,) = SparseMlaAttention(8, 0.4).reference(q, cache, indices)
    np.testing.assert_allclose(masked, sparse, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(0, 20), st.integers(1, 30))
def test_selected_pairs_is_the_sum_over_queries(q: int, past: int, k: int) -> None:
    seen = np.arange(q) + past + 1
    assert selected_pairs(q, q + past, k) == np.minimum(seen, k).sum()


def test_deepseek_v32_decode_gathers_2048_rows_of_656_bytes() -> None:
    specs = (TensorSpec((1, 1, 128, 576)), TensorSpec((1, 65536, 576), "fp8_mla"), TensorSpec((1, 1, 2048), "int32"))
    work = SparseMlaAttention(512).work(specs, ())
    assert work.flops() == 278_528 * 2048
    assert work.bytes_read() - 128 * 576 * 2 == pytest.approx(2048 * 656)


def test_ties_go_to_the_lowest_index_and_missing_is_minus_one() -> None:
    scores = np.array([[1.0, 3.0, 3.0, -np.inf], [-np.inf, 0.0, 0.0, 0.0], [-np.inf] * 4])
    (indices,) = TopK(3).reference(scores)
    np.testing.assert_array_equal(indices, [[1, 2, 0], [1, 2, 3], [-1, -1, -1]])
    many = np.random.default_rng(0).integers(0, 3, size=(1, 5000)).astype(float)
    np.testing.assert_array_equal(TopK(100).reference(many)[0][0], np.flatnonzero(many[0] == 2)[:100])
