"""Attention: softmax attention with grouped heads, causal mask, window and sinks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import work
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, require_rank, same
from simulator.ops.softmax_attention import attention, visible
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class Attention(Op):
    """q[B, q, H, d], k[B, L, G, d], v[B, L, G, dv], [sinks[H]] -> [B, q, H, dv].

    The last query is aligned with the last key. window: 0 = all, else that many most recent keys. scale: 0 = d^-0.5.
    rate: matrix rate class of both products.
    """

    causal: bool = True
    window: int = 0
    scale: float = 0.0
    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    family = "attention"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, q, H, dv]."""
        q, k, v = inputs[:3]
        for x, name in ((q, "q"), (k, "k"), (v, "v")):
            require_rank(self, x, 4, name)
        require(self, all(same(q.shape[i], k.shape[i]) for i in (0, 3)), "q and k must share B and d", q, k)
        require(self, all(same(v.shape[i], k.shape[i]) for i in (0, 1, 2)), "v and k must share B, L and heads", k, v)
        groups = np.asarray(q.shape[2]) % np.asarray(k.shape[2])
        require(self, bool(np.all(groups == 0)), "heads must be a multiple of the KV heads", q, k)
        return (TensorSpec((*q.shape[:3], v.shape[3]), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One attention sweep."""
        q, k, v = inputs[:3]
        term = work.Attention(
            batch=q.shape[0],
            q_len=q.shape[1],
            kv_len=k.shape[1],
            heads=q.shape[2],
            kv_heads=k.shape[2],
            qk_dim=k.shape[3],
            v_dim=v.shape[3],
            causal=self.causal,
            window=self.window,
            q_dtype=q.dtype,
            kv_dtype=k.dtype,
            out_dtype=self.out_dtype,
            rate=self.rate,
        )
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """softmax(scale q k^T) v."""
        q, k, v = arrays[:3]
        mask = visible(q.shape[1], k.shape[1], self.causal, self.window)
        sinks = arrays[3] if len(arrays) == 4 else None
        return (attention(q, k, v, mask, self.scale or q.shape[-1] ** -0.5, sinks)[0],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Grouped decode over a cache; windowed prefill with sinks; bidirectional; MLA expanded (d differs from dv)."""
        g = rng(32)

        def case(op: Attention, q: int, kv: int, h: int, n: int, d: int, dv: int, sinks: bool = False) -> Example:
            arrays = (g.normal(size=(2, q, h, d)), g.normal(size=(2, kv, n, d)), g.normal(size=(2, kv, n, dv)))
            extra = (g.normal(size=h),) if sinks else ()
            return Example(op, (*arrays, *extra), ("bfloat16",) * (3 + sinks))

        return (
            case(cls(), 2, 7, 4, 2, 6, 6),
            case(cls(window=3), 6, 6, 4, 1, 4, 4, sinks=True),
            case(cls(window=4), 5, 7, 2, 2, 4, 4),
            case(cls(causal=False), 3, 5, 2, 2, 4, 4),
            case(cls(scale=0.3), 4, 4, 3, 3, 6, 4),
        )
