"""BatchedLinear: one small matrix per head (absorption of the MLA up-projections)."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.ops.counting import product
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same
from simulator.ops.tensor import TensorSpec, prod
from simulator.ops.work import Matmul, Work


@dataclass(frozen=True)
class BatchedLinear(Op):
    """x[.., H, k], w[H, n, k] -> y[.., H, n]: head h of every token times w[h]."""

    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    family = "mla"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[.., H, n]."""
        x, w = inputs
        fits = len(w.shape) == 3 and same(x.shape[-2], w.shape[0]) and same(x.shape[-1], w.shape[2])
        require(self, fits, "x[.., H, k] and w[H, n, k] must share H and k", x, w)
        return (TensorSpec((*x.shape[:-1], w.shape[1]), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """H products of T rows."""
        x, w = inputs
        heads, n, k = w.shape
        return Work((Matmul(prod(x.shape[:-2]), n, k, x.dtype, w.dtype, self.out_dtype, self.rate, batch=heads),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Per-head x w^T."""
        x, w = arrays
        flat = x.reshape(-1, *x.shape[-2:])
        return (product("thk,hnk->thn", flat, w).reshape(*x.shape[:-1], w.shape[1]),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Flat and batched tokens."""
        g = rng(1)
        w = g.normal(size=(3, 5, 4))
        return (
            Example(cls(), (g.normal(size=(6, 3, 4)), w), ("bfloat16",) * 2),
            Example(cls(), (g.normal(size=(2, 2, 3, 4)), w), ("bfloat16",) * 2),
        )
