"""Elementwise arithmetic: add, multiply, scale, sigmoid gate, cast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same, same_shape, vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    out: Array = np.exp(-np.logaddexp(0.0, -x))
    return out


@dataclass(frozen=True)
class Add(Op):
    """x + y."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x."""
        x, y = inputs
        require(self, same_shape(x, y), "x and y must have the same shape", x, y)
        return (x,)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Read both, write one."""
        return vector_pass("add", inputs, outputs)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """x + y."""
        return (arrays[0] + arrays[1],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Two shapes."""
        g = rng(18)
        shapes = ((3, 4), (2, 3, 4))
        return tuple(Example(cls(), (g.normal(size=s), g.normal(size=s)), ("bfloat16",) * 2) for s in shapes)


@dataclass(frozen=True)
class Mul(Op):
    """x y; y may have size 1 in its last dimension."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x."""
        x, y = inputs
        require(self, _broadcasts(x, y), "y must match x or have a last dimension of 1", x, y)
        return (x,)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Read both, write one."""
        return vector_pass("mul", inputs, outputs)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """x y."""
        return (arrays[0] * arrays[1],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Full and row-wise factor."""
        g = rng(19)
        x = g.normal(size=(3, 4))
        return tuple(Example(cls(), (x, g.normal(size=s)), ("bfloat16",) * 2) for s in ((3, 4), (3, 1)))


@dataclass(frozen=True)
class Scale(Op):
    """x times a constant."""

    factor: float = 1.0
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x."""
        return inputs

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Read and write once."""
        return vector_pass("scale", inputs, outputs)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """factor x."""
        return (arrays[0] * self.factor,)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Two factors."""
        x = rng(20).normal(size=(3, 4))
        return tuple(Example(cls(f), (x,), ("bfloat16",)) for f in (0.125, 2.0))


@dataclass(frozen=True)
class SigmoidMul(Op):
    """x sigmoid(gate); the gate may have size 1 in its last dimension (gated attention output, gated shared expert)."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x."""
        x, gate = inputs
        require(self, _broadcasts(x, gate), "gate must match x or have a last dimension of 1", x, gate)
        return (x,)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Read both, write one; one exponential per element."""
        return vector_pass("sigmoid_mul", inputs, outputs, ops=3.0, exps=1.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """x sigmoid(gate)."""
        return (arrays[0] * sigmoid(arrays[1]),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Full and row-wise gate."""
        g = rng(21)
        x = g.normal(size=(3, 4))
        return tuple(Example(cls(), (x, g.normal(size=s)), ("bfloat16",) * 2) for s in ((3, 4), (3, 1)))


@dataclass(frozen=True)
class Cast(Op):
    """x stored in a wider or equal format (no rounding in the reference: see Quantize for that)."""

    out_dtype: str = "fp32"
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same shape, the new format."""
        return (inputs[0].with_dtype(self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Read and write once."""
        return vector_pass("cast", inputs, outputs)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """x."""
        return (arrays[0],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Up to fp32."""
        x = rng(22).normal(size=(3, 4))
        return (Example(cls(), (x,), ("bfloat16",)), Example(cls("bfloat16"), (x,), ("fp16",)))


def _broadcasts(x: TensorSpec, y: TensorSpec) -> bool:
    lead = len(x.shape) == len(y.shape) and all(same(a, b) for a, b in zip(x.shape[:-1], y.shape[:-1], strict=True))
    return lead and (same(x.shape[-1], y.shape[-1]) or same(y.shape[-1], 1))
