"""N12 and DeepSeek-V4 figures: compressor, visibility of entries, shared keys and values, inverse rotation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.ops.compress import CompressPool, entries_visible, entry_pairs
from simulator.ops.indexer import IndexerScores
from simulator.ops.op import Array
from simulator.ops.rope import Rope
from simulator.ops.shared_kv_attention import SharedKvAttention
from simulator.ops.softmax_attention import visible
from simulator.ops.tensor import TensorSpec
from simulator.ops.top_k import TopK

RATIO = 4


def sources(tokens: int, overlap: bool) -> tuple[Array, Array, Array]:
    g = np.random.default_rng(tokens)
    width = 16 if overlap else 8
    return tuple(g.normal(size=s) for s in ((2, tokens, width), (2, tokens, width), (RATIO, width)))


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("step", [1, 3, 4, 7])
def test_n12_incremental_compressor_equals_batch(overlap: bool, step: int) -> None:
    kv, gate, bias = sources(23, overlap)
    (batch,) = CompressPool(RATIO, overlap).reference(kv, gate, bias)
    grown = [CompressPool(RATIO, overlap).reference(kv[:, :step], gate[:, :step], bias)[0]]
    for past in range(step, 23, step):
        window = past // RATIO * RATIO
        fresh = window == 0 or not overlap
        state = slice(window if fresh else window - RATIO, min(past + step, 23))
        grown += CompressPool(RATIO, overlap, fresh=fresh).reference(kv[:, state], gate[:, state], bias)
    np.testing.assert_allclose(np.concatenate(grown, axis=1), batch, rtol=1e-12)
    assert batch.shape[1] == 5


def test_overlapping_entry_pools_previous_first_halves_and_own_second_halves() -> None:
    kv, gate, bias = sources(12, True)
    (entries,) = CompressPool(RATIO, overlap=True).reference(kv, gate, bias)
    logits = np.concatenate([gate[0, 4:8, :8] + bias[:, :8], gate[0, 8:12, 8:] + bias[:, 8:]])
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    np.testing.assert_allclose(entries[0, 2], (p * np.concatenate([kv[0, 4:8, :8], kv[0, 8:12, 8:]])).sum(axis=0))
    own = np.exp(gate[0, :4, 8:] + bias[:, 8:])
    np.testing.assert_allclose(entries[0, 0], (own / own.sum(axis=0) * kv[0, :4, 8:]).sum(axis=0))


def test_n12_entry_is_seen_from_its_last_token_on() -> None:
    mask = entries_visible(0, 12, 3, RATIO)[0]
    for j in range(3):
        assert (mask[:, j] == (np.arange(12) >= RATIO * j + RATIO - 1)).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.integers(1, 20), st.integers(1, 8), st.integers(0, 6))
def test_entry_pairs_count_the_mask(past: int, q: int, ratio: int, topk: int) -> None:
    seen = entries_visible(past, q, (past + q) // ratio, ratio)[0].sum(axis=1)
    assert entry_pairs(past, q, ratio, topk) == (np.minimum(seen, topk) if topk else seen).sum()


def layer(x: Array, past: int, new: int, topk: int, shift: int = 0) -> Array:
    """A toy CSA layer over x[B, T, d] of which the last ``new`` are queries; positions start at ``shift``."""
    g = np.random.default_rng(9)
    w_q, w_kv, w_gate, bias = (g.normal(size=s) for s in ((3, 16, 16), (16, 32), (16, 32), (RATIO, 32)))
    at = np.broadcast_to(np.arange(past + new) + shift, x.shape[:2])
    rope, back = Rope(8, interleaved=True, first=False), Rope(8, interleaved=True, first=False, inverse=True)
    q = rope.reference(np.einsum("btd,hde->bthe", x, w_q)[:, past:], at[:, past:])[0]
    raw = rope.reference(x, at)[0]
    entries = CompressPool(RATIO, overlap=True).reference(x @ w_kv, x @ w_gate, bias)[0]
    entries = rope.reference(entries, at[:, : entries.shape[1] * RATIO : RATIO])[0]
    scores = IndexerScores(ratio=RATIO, past=past).reference(q, entries, np.ones(q.shape[:3]))[0]
    (indices,) = TopK(topk).reference(scores)
    attend = SharedKvAttention(window=5, ratio=RATIO, past=past)
    raw = raw[:, max(0, past - 4) :]
    (out,) = attend.reference(q, raw, np.linspace(-1, 1, 3), entries, indices)
    return back.reference(out, at[:, past:])[0]


def test_n12_inverse_rotation_makes_the_output_shift_invariant() -> None:
    x = np.random.default_rng(1).normal(size=(2, 21, 16))
    np.testing.assert_allclose(layer(x, 0, 21, 3), layer(x, 0, 21, 3, shift=4 * RATIO), atol=1e-10)


def test_n2_prefill_equals_token_by_token_decode() -> None:
    x = np.random.default_rng(2).normal(size=(2, 21, 16))
    whole = layer(x, 0, 21, 3)
    for t in range(1, 21):
        np.testing.assert_allclose(layer(x[:, : t + 1], t, 1, 3)[:, 0], whole[:, t], atol=1e-10)


def test_n12_dense_entries_equal_selecting_all_of_them() -> None:
    g = np.random.default_rng(3)
    q, kv, entries = g.normal(size=(1, 9, 2, 8)), g.normal(size=(1, 9, 8)), g.normal(size=(1, 2, 8))
    op, sinks = SharedKvAttention(window=4, ratio=RATIO), np.zeros(2)
    everything = np.broadcast_to(np.arange(2), (1, 9, 2))
    np.testing.assert_array_equal(
        op.reference(q, kv, sinks, entries)[0], op.reference(q, kv, sinks, entries, everything)[0]
    )


def test_window_only_layer_sees_the_window() -> None:
    g = np.random.default_rng(4)
    q, kv = g.normal(size=(1, 7, 2, 8)), g.normal(size=(1, 7, 8))
    (out,) = SharedKvAttention(window=3).reference(q, kv, np.full(2, -np.inf))
    mask = visible(7, 7, True, 3)[0]
    for t in range(7):
        logits = np.where(mask[t], kv[0] @ q[0, t, 1] / np.sqrt(8), -np.inf)
        p = np.exp(logits - logits.max())
        np.testing.assert_allclose(out[0, t, 1], p / p.sum() @ kv[0], rtol=1e-12)


@pytest.mark.parametrize(("ratio", "topk", "entries"), [(4, 1024, 1024), (128, 0, 65536 // 128)])
def test_deepseek_v4_pro_decode_flops_and_bytes(ratio: int, topk: int, entries: int) -> None:
    """262,144 FLOP and 584 bytes per entry; CSA reads 128 + 1024, HCA 128 + L / 128."""
    length = 65536
    op = SharedKvAttention(ratio=ratio, past=length - 1)
    specs = [TensorSpec((1, 1, 128, 512)), TensorSpec((1, 128, 512), "fp8_mla_v4"), TensorSpec((128,), "fp32")]
    specs.append(TensorSpec((1, length // ratio, 512), "fp8_mla_v4"))
    if topk:
        specs.append(TensorSpec((1, 1, topk), "int32"))
    work = op.work(tuple(specs), op.infer(*specs))
    assert work.flops() == 262_144 * (128 + entries)
    assert work.bytes_read() - 128 * 512 * 2 == pytest.approx(584 * (128 + entries))


def test_missing_entries_or_window_are_refused() -> None:
    q, sinks = TensorSpec((1, 2, 3, 8)), TensorSpec((3,), "fp32")
    with pytest.raises(ValueError, match="ratio"):
        SharedKvAttention(ratio=4, past=10).infer(q, TensorSpec((1, 12, 8)), sinks)
    with pytest.raises(ValueError, match="tokens before each query"):
        SharedKvAttention(window=8, past=10).infer(q, TensorSpec((1, 4, 8)), sinks)
    with pytest.raises(ValueError, match="too few keys"):
        IndexerScores(ratio=4, past=40).infer(q, TensorSpec((1, 3, 8)), TensorSpec((1, 2, 3)))
