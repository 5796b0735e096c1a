"""SiluMul: the gated activation between the up and down projections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.elementwise import sigmoid
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import replace_dim, require, same, share_of, vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class SiluMul(Op):
    """x[.., 2n] = gate then up -> gate sigmoid(alpha gate) (up + up_offset) [.., n].

    clamp: 0 = none, else gate <= clamp and |up| <= clamp first (DeepSeek-V4: 10). gpt-oss: clamp 7, alpha 1.702,
    up_offset 1. Source: SwiGLU, Shazeer, arXiv 2002.05202.
    """

    clamp: float = 0.0
    alpha: float = 1.0
    up_offset: float = 0.0
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Half the width."""
        (x,) = inputs
        half = share_of(x.shape[-1], 2)
        require(self, same(np.floor(half), half), "the last dimension must be even", x)
        return (replace_dim(x, -1, half),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """About five operations and one exponential per output."""
        return vector_pass("silu_mul", inputs, outputs, ops=5.0, exps=1.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """silu(gate) up."""
        gate, up = np.split(arrays[0], 2, axis=-1)
        if self.clamp > 0:
            gate, up = np.minimum(gate, self.clamp), np.clip(up, -self.clamp, self.clamp)
        return (gate * sigmoid(self.alpha * gate) * (up + self.up_offset),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Plain, clamped, gpt-oss."""
        x = 3.0 * rng(26).normal(size=(3, 8))
        return tuple(Example(op, (x,), ("bfloat16",)) for op in (cls(), cls(clamp=2.0), cls(7.0, 1.702, 1.0)))
