"""Sparse-attention layers: shapes, terms and projections of DeepSeek sparse attention (V3.2, GLM-5) and V4 compressed
attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from simulator.ops.sparse_attention import selected_pairs
from simulator.ops.work import Attention, IndexScores, TopK
from simulator.validation.predict.mla_layers import MlaShape, Projection, activation_elements, projections
from simulator.validation.predict.prediction import FloatArray

CACHE_BYTES = {"fp8": 656.0}  # 512 e4m3, 4 fp32 scales, 64 rotary dims in 16 bit (operators.md a)
V4_ENTRY_BYTES = {"fp8": 584.0}  # 448 e4m3, 64 rotary dims in 16 bit, 7 scales, pad (operators.md g)
WINDOW = 128.0  # raw tokens every V4 layer sees
V4_WIDTH = 512
HEADS_PER_GROUP = 8  # output heads that share one low-rank projection in V4


@dataclass(frozen=True, slots=True)
class SparseModel:
    """Widths of a sparse-attention layer.

    V4: shared 512-wide entries over compressed tokens instead of latent attention.
    """

    layer: MlaShape
    index_heads: int = 64
    index_dim: int = 128
    top_k: float = 2048
    v4: bool = False

    def with_stated(self, index_heads: float, top_k: float) -> SparseModel:
        """The same layer with the index heads and selected tokens a row states (0 or less: not stated)."""
        heads = int(index_heads) if index_heads > 0 else self.index_heads
        return replace(self, index_heads=heads, top_k=top_k if top_k > 0 else self.top_k)


MODELS = {
    "DS-V3.2": SparseModel(MlaShape()),
    "GLM-5": SparseModel(MlaShape(hidden=6144, q_rank=2048, nope=192, v_dim=256), index_heads=32),
    "DS-V4-Pro": SparseModel(MlaShape(), top_k=1024, v4=True),
    "DS-V4-Flash": SparseModel(MlaShape(hidden=4096, q_rank=1024), top_k=512, v4=True),
}


def model_of(name: str) -> SparseModel:
    """The model a table names, by the longest known prefix ("GLM-5.2" is a GLM-5); DeepSeek-V3.2 if unknown."""
    folded = name.upper().replace("DEEPSEEK", "DS")
    fitting = [known for known in MODELS if folded.startswith(known.upper())]
    return MODELS[max(fitting, key=len)] if fitting else MODELS["DS-V3.2"]


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """batch requests of q new tokens over past tokens, heads local heads; kv_shared: all requests read one cache."""

    batch: FloatArray
    q: FloatArray
    past: FloatArray
    heads: FloatArray
    kv_shared: bool = False

    @property
    def count(self) -> FloatArray:
        """New tokens."""
        return self.batch * self.q

    @property
    def kv(self) -> FloatArray:
        """Tokens visible to the last new one."""
        return self.past + self.q


def sparse_term(t: Tokens, top_k: float, kv_dtype: str, idle_slot: float, eight_bit: bool) -> Attention:
    """Absorbed attention over the selected rows.

    idle_slot: share of a row's computation that one of the top_k slots without a row still takes; it reads nothing.
    """
    mean = np.asarray(selected_pairs(t.q, t.kv, top_k), dtype=np.float64) / np.maximum(t.q, 1.0)
    slots = mean + idle_slot * np.maximum(top_k - mean, 0.0)
    term = _shared(t.count, slots, t.heads, 576, CACHE_BYTES, kv_dtype, eight_bit)
    return replace(term, kv_bytes_per_token=term.kv_bytes_token() * mean / np.maximum(slots, 1.0))


def compressed_term(t: Tokens, top_k: float, ratio: float, kv_dtype: str, eight_bit: bool) -> Attention:
    """V4: the last 128 raw tokens and the visible compressed entries (at most top_k where an indexer selects)."""
    middle = np.maximum(t.past + (t.q + 1.0) / 2.0, 1.0)
    raw = np.where(t.q > 1, WINDOW, np.minimum(middle, WINDOW))  # prompts compute the whole window tile
    entries = np.minimum(np.floor(middle / ratio), top_k) if ratio < WINDOW else np.floor(middle / ratio)
    return _shared(t.count, raw + entries, t.heads, V4_WIDTH, V4_ENTRY_BYTES, kv_dtype, eight_bit)


def _shared(
    tokens: FloatArray,
    keys: FloatArray,
    heads: FloatArray,
    width: int,
    stored: dict[str, float],
    kv_dtype: str,
    eight_bit: bool,
) -> Attention:
    return Attention(
        tokens,
        np.ones_like(tokens),
        keys,
        heads,
        1,
        width,
        V4_WIDTH,
        causal=False,
        kv_dtype="fp8" if kv_dtype == "fp8" else "bfloat16",
        rate="fp8" if eight_bit else "bf16",
        kv_shared=True,
        kv_bytes_per_token=stored.get(kv_dtype, 2.0 * width),
        selected=True,
    )


def scores_term(
    t: Tokens, heads: float, dim: float, ratio: float = 1.0, paged: bool = True, kv_shared: bool = False
) -> IndexScores:
    """Indexer logits over the context divided by the compression ratio.

    Kv_shared: all requests read one physical cache.
    """
    if ratio <= 1.0:
        return IndexScores(t.batch, t.q, t.kv, heads, dim, paged=paged)
    entries = np.floor((t.past + (t.q + 1.0) / 2.0) / ratio)
    batch, q = (np.ones_like(t.q), t.count) if kv_shared else (t.batch, t.q)
    return IndexScores(batch, q, entries, heads, dim, causal=False, paged=paged)


def top_k_terms(t: Tokens, top_k: float, ratio: float = 1.0) -> tuple[TopK, TopK]:
    """(rows that must be searched, rows with at most top_k scores): queries of a prompt cross the limit one by one."""
    limit = top_k * ratio
    short = np.clip(limit - t.past, 0.0, t.q)
    long = t.q - short
    first = np.maximum(t.past + short + 1.0, limit + 1.0)
    mean = np.where(long > 0, (first + t.kv) / 2.0, 0.0) / ratio
    return TopK(t.batch * long, np.maximum(mean, 0.0), top_k), TopK(
        t.batch * short, np.minimum(t.kv / ratio, top_k), top_k
    )


def sparse_projections(model: SparseModel, heads: float, ratio: float, absorbed: bool = True) -> Iterator[Projection]:
    """Products of one layer: those of its attention and of its indexer or compressors."""
    shape = model.layer
    if not model.v4:
        yield from projections(shape, heads, absorbed)
        yield Projection(model.index_dim, shape.hidden)
        if absorbed:  # short prompts that run as plain attention only store the index keys
            yield Projection(model.index_heads * model.index_dim, shape.q_rank)
            yield Projection(model.index_heads, shape.hidden, quantized=False)
        return
    yield Projection(shape.q_rank, shape.hidden)
    yield Projection(heads * V4_WIDTH, shape.q_rank)
    yield Projection(V4_WIDTH, shape.hidden)
    groups = max(heads / HEADS_PER_GROUP, 1.0)
    yield Projection(1024, heads * V4_WIDTH / groups, groups, quantized=False)
    yield Projection(shape.hidden, groups * 1024)
    if ratio < WINDOW:
        yield Projection(4 * V4_WIDTH, shape.hidden, quantized=False)
        yield Projection(4 * model.index_dim, shape.hidden, quantized=False)
        yield Projection(model.index_heads * model.index_dim, shape.q_rank)
        yield Projection(model.index_heads, shape.hidden, quantized=False)
    else:
        yield Projection(2 * V4_WIDTH, shape.hidden, quantized=False)


def sparse_activations(model: SparseModel, t: Tokens, absorbed: bool = True) -> FloatArray:
    """Elements of the intermediate tensors of one layer."""
    shape = model.layer
    if not absorbed:
        return activation_elements(shape, t.count, t.heads, absorbed)
    per_head = 3 * V4_WIDTH if model.v4 else shape.nope + shape.rope + shape.v_dim + shape.stored + shape.latent
    indexer = model.index_heads * model.index_dim
    return t.count * (2 * shape.hidden + shape.q_rank + shape.stored + indexer + t.heads * per_head)
