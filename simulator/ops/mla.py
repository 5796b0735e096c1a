"""MlaAbsorbedAttention: latent attention with one shared key-value vector per token (MQA mode)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import work
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, require_rank, same
from simulator.ops.softmax_attention import attention, visible
from simulator.ops.tensor import Number, TensorSpec
from simulator.ops.work import Work


def bytes_per_token(cache: TensorSpec) -> Number:
    """Stored bytes of one row of cache[B, L, w]."""
    return cache.with_shape(1, *cache.shape[2:]).nbytes


@dataclass(frozen=True)
class MlaAbsorbedAttention(Op):
    """q[B, q, H, w], cache[B, L, w] -> [B, q, H, value_dim].

    The key is the whole stored vector (latent and rotary part, w = 576 in DeepSeek-V3), the value its first
    ``value_dim`` elements. scale: that of the expanded form, (dn + dr)^-0.5; 0 = w^-0.5. Source: DeepSeek-V2, arXiv
    2405.04434 section 2.1; operators.md a.
    """

    value_dim: int = 512
    scale: float = 0.0
    causal: bool = True
    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    family = "mla"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, q, H, value_dim]."""
        q, cache = inputs
        require_rank(self, q, 4, "q")
        require_rank(self, cache, 3, "cache")
        fits = same(q.shape[0], cache.shape[0]) and same(q.shape[3], cache.shape[2])
        require(self, fits, "q[B, q, H, w] and cache[B, L, w] must share B and w", q, cache)
        require(self, bool(np.all(np.asarray(cache.shape[2]) >= self.value_dim)), "value_dim exceeds w", cache)
        return (TensorSpec((*q.shape[:3], self.value_dim), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One attention sweep with one KV head; a stored row serves as key and value."""
        q, cache = inputs
        term = work.Attention(
            batch=q.shape[0],
            q_len=q.shape[1],
            kv_len=cache.shape[1],
            heads=q.shape[2],
            kv_heads=1,
            qk_dim=cache.shape[2],
            v_dim=self.value_dim,
            causal=self.causal,
            q_dtype=q.dtype,
            kv_dtype=cache.dtype,
            out_dtype=self.out_dtype,
            rate=self.rate,
            kv_shared=True,
            kv_bytes_per_token=bytes_per_token(cache),
        )
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """softmax(scale q c^T) c[.. value_dim]."""
        q, cache = arrays
        k = cache[:, :, None, :]
        mask = visible(q.shape[1], k.shape[1], self.causal)
        return (attention(q, k, k[..., : self.value_dim], mask, self.scale or q.shape[-1] ** -0.5)[0],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Decode, two verified tokens, prefill; 16-bit and FP8 cache."""
        g = rng(33)

        def case(q: int, kv: int, dtype: str) -> Example:
            arrays = (g.normal(size=(2, q, 3, 10)), g.normal(size=(2, kv, 10)))
            return Example(cls(8, 0.4), arrays, ("bfloat16", dtype))

        return case(1, 6, "bfloat16"), case(2, 6, "fp8_mla"), case(4, 4, "bfloat16")
