"""Linear: y = x w^T (+ bias)."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.ops import counting
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.quantize import fake_quantize
from simulator.ops.shapes import require, rows_of, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Matmul, Work


@dataclass(frozen=True)
class Linear(Op):
    """x[.., k], w[n, k], [bias[n]] -> y[.., n].

    rate: rate class of the matrix unit. quantizes_a: format the kernel quantises x to before multiplying ("" = x is
    used as it is stored). bias_share: part of the bias added here (1 / n when n ranks' results will be summed).
    """

    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    quantizes_a: str = ""
    bias_share: float = 1.0
    family = "gemm"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[.., n]."""
        x, w, *bias = inputs
        require(self, len(w.shape) == 2 and same(x.shape[-1], w.shape[1]), "x[.., k] and w[n, k] must share k", x, w)
        require(self, all(same(b.shape[0], w.shape[0]) for b in bias), "bias[n] must match w[n, k]", w, *bias)
        return (TensorSpec((*x.shape[:-1], w.shape[0]), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One matrix product over all leading dimensions; a bias rides in the epilogue."""
        x, w = inputs[:2]
        a_dtype = self.quantizes_a or x.dtype
        term = Matmul(
            rows_of(x),
            w.shape[0],
            w.shape[1],
            a_dtype,
            w.dtype,
            self.out_dtype,
            self.rate,
            quantizes_a=bool(self.quantizes_a),
        )
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """x w^T (+ bias)."""
        x, w = arrays[:2]
        if self.quantizes_a:
            x = fake_quantize(x, self.quantizes_a)
        y = counting.linear(x, w)
        return (y + arrays[2] * y.dtype.type(self.bias_share),) if len(arrays) == 3 else (y,)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Flat tokens, batched tokens with a bias, and an fp8 product."""
        g = rng()
        x, w = g.normal(size=(5, 12)), g.normal(size=(7, 12))
        x3, b = g.normal(size=(2, 3, 12)), g.normal(size=7)
        wide, w8 = g.normal(size=(3, 256)), g.normal(size=(4, 256))
        return (
            Example(cls(), (x, w), ("bfloat16",) * 2),
            Example(cls(), (x3, w, b), ("bfloat16",) * 3),
            Example(cls("fp8", "bfloat16", "fp8_block"), (wide, w8), ("bfloat16", "fp8_block_weight")),
        )
