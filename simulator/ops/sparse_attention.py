"""Sparse attention over selected keys: gathered in latent space, or as a mask on dense attention for short prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import work
from simulator.ops.attention import Attention
from simulator.ops.counting import product, take_rows
from simulator.ops.mla import bytes_per_token
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, require_rank, same
from simulator.ops.softmax_attention import partial_attention, visible
from simulator.ops.tensor import Dim, Number, TensorSpec
from simulator.ops.work import Work


def selected_pairs(q_len: Dim, kv_len: Dim, k: Dim) -> Number:
    """Sum over the causal queries of min(k, keys seen): query i of q sees kv - q + 1 + i."""
    q, kv, top = (np.asarray(v, dtype=np.float64) for v in (q_len, kv_len, k))

    def upto(n: Number) -> Number:
        full = np.minimum(n, top)
        out: Number = full * (full + 1) / 2 + (n - full) * top
        return out

    total = upto(kv) - upto(kv - q)
    return total if np.ndim(total) else float(total)


def gathered_attention(q: Array, cache: Array, indices: Array, scale: float, value_dim: int) -> tuple[Array, Array]:
    """(out[B, q, H, value_dim], lse[B, q, H]) over cache rows ``indices`` [B, q, k]; -1 is ignored.

    A query with no valid key gives 0 and lse +inf. Source: FlashMLA tests/ref.py defines these cases.
    """
    valid = indices >= 0
    rows = np.zeros((*indices.shape, cache.shape[-1]), dtype=cache.dtype)
    batch = np.nonzero(valid)[0]
    flat = cache.reshape(-1, cache.shape[-1])
    rows[valid] = take_rows(flat, batch * cache.shape[1] + indices[valid], source=1)
    scores = product("bqhd,bqkd->bqhk", q, rows, used=("bqk", valid)) * scale
    scores = np.where(valid[:, :, None, :], scores, -np.inf)
    top = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    p = np.exp(scores - np.where(np.isneginf(top), 0.0, top))
    total = p.sum(axis=-1)
    out = product("bqhk,bqkd->bqhd", p, rows[..., :value_dim], used=("bqk", valid))
    some = total > 0
    lse = np.where(some, np.log(np.where(some, total, 1.0)) + top[..., 0], np.inf)
    return out / np.where(some, total, 1.0)[..., None], lse


def index_mask(indices: Array, kv_len: int) -> Array:
    """mask[B, q, L] true at the given indices [B, q, k]; -1 is ignored."""
    mask = np.zeros((*indices.shape[:2], kv_len + 1), dtype=bool)
    np.put_along_axis(mask, np.where(indices < 0, kv_len, indices).astype(np.int64), True, axis=-1)
    return mask[..., :kv_len]


@dataclass(frozen=True)
class SparseMlaAttention(Op):
    """q[B, q, H, w], cache[B, L, w], indices[B, q, k] -> [B, q, H, value_dim].

    Absorbed MLA over the selected cache rows only; every query gathers its own rows. Indices must be causal (TopK of
    IndexerScores is) and distinct; -1 marks a missing one. Source: DeepSeek-V3.2 report eq. 2; operators.md b9.
    """

    value_dim: int = 512
    scale: float = 0.0
    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    family = "dsa"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, q, H, value_dim]."""
        q, cache, indices = inputs
        require_rank(self, q, 4, "q")
        require_rank(self, cache, 3, "cache")
        fits = same(q.shape[0], cache.shape[0]) and same(q.shape[3], cache.shape[2])
        require(self, fits, "q[B, q, H, w] and cache[B, L, w] must share B and w", q, cache)
        lead = len(indices.shape) == 3 and all(same(a, b) for a, b in zip(q.shape[:2], indices.shape, strict=False))
        require(self, lead, "indices[B, q, k] must match q[B, q, ..]", q, indices)
        return (TensorSpec((*q.shape[:3], self.value_dim), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """min(k, visible) keys per query, on average over the queries; nothing shared between queries."""
        q, cache, indices = inputs
        q_len = np.asarray(q.shape[1], dtype=np.float64)
        mean = selected_pairs(q.shape[1], cache.shape[1], indices.shape[2]) / q_len
        term = work.Attention(
            batch=q.shape[0],
            q_len=q.shape[1],
            kv_len=mean if np.ndim(mean) else float(mean),
            heads=q.shape[2],
            kv_heads=1,
            qk_dim=cache.shape[2],
            v_dim=self.value_dim,
            q_dtype=q.dtype,
            kv_dtype=cache.dtype,
            out_dtype=self.out_dtype,
            rate=self.rate,
            kv_shared=True,
            kv_bytes_per_token=bytes_per_token(cache),
            selected=True,
            pool_len=cache.shape[1],
        )
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Gather, then softmax attention."""
        q, cache, indices = arrays
        scale = self.scale or q.shape[-1] ** -0.5
        return (gathered_attention(q, cache, indices, scale, self.value_dim)[0],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Prefill from nothing with more room than keys, decode with fewer, two verified tokens."""
        g = rng(35)

        def case(q: int, kv: int, k: int, dtype: str) -> Example:
            seen = np.arange(q) + kv - q + 1
            indices = np.full((2, q, k), -1, dtype=np.int32)
            for b in range(2):
                for i, n in enumerate(seen):
                    chosen = g.permutation(n)[:k]
                    indices[b, i, : len(chosen)] = chosen
            arrays = (g.normal(size=(2, q, 3, 10)), g.normal(size=(2, kv, 10)), indices)
            return Example(cls(8, 0.4), arrays, ("bfloat16", dtype, "int32"))

        return case(5, 5, 3, "bfloat16"), case(1, 9, 4, "fp8_mla"), case(2, 9, 12, "bfloat16")


@dataclass(frozen=True)
class IndexMaskedAttention(Op):
    """q[B, q, H, d], k[B, L, G, d], v[B, L, G, dv], indices[B, q, k] -> [B, q, H, dv].

    The work of dense causal attention; keys that were not selected are masked away. Cheaper than gathering for short
    prompts. Source: DeepSeek-V3.2 report section 3; operators.md b10.
    """

    scale: float = 0.0
    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    family = "dsa"

    def _dense(self) -> Attention:
        return Attention(scale=self.scale, rate=self.rate, out_dtype=self.out_dtype)

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, q, H, dv]."""
        q, _, _, indices = inputs
        lead = len(indices.shape) == 3 and all(same(a, b) for a, b in zip(q.shape[:2], indices.shape, strict=False))
        require(self, lead, "indices[B, q, k] must match q[B, q, ..]", q, indices)
        return self._dense().infer(*inputs[:3])

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Dense causal attention."""
        return self._dense().work(inputs[:3], outputs)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Dense scores; the mask of the selected keys decides."""
        q, k, v, indices = arrays
        scale = self.scale or q.shape[-1] ** -0.5
        causal = visible(q.shape[1], k.shape[1])
        mask = causal & index_mask(indices, k.shape[1])
        return (partial_attention(q, k, v, mask, scale, computed=causal)[0],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Prefill from nothing; two new tokens."""
        g = rng(36)

        def case(q: int, kv: int) -> Example:
            indices = np.where(g.random((2, q, 3)) < 0.8, g.integers(0, kv - q + 1, size=(2, q, 3)), -1)
            arrays = (g.normal(size=(2, q, 4, 6)), g.normal(size=(2, kv, 2, 6)), g.normal(size=(2, kv, 2, 5)))
            return Example(cls(), (*arrays, indices.astype(np.int32)), ("bfloat16",) * 3 + ("int32",))

        return case(4, 4), case(2, 7)
