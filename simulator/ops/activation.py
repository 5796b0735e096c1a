"""Activation: the nonlinearity of a feed-forward without a gate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work

KINDS = ("gelu", "relu2")


@dataclass(frozen=True)
class Activation(Op):
    """x -> f(x). kind: gelu (tanh form; arXiv 1606.08415) or relu2 (squared ReLU; arXiv 2109.08668)."""

    kind: str = "gelu"
    family = "elementwise"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Activation: unknown kind {self.kind!r}; known: {', '.join(KINDS)}")

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x."""
        return (inputs[0],)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass."""
        if self.kind == "relu2":
            return vector_pass("relu", inputs, outputs, ops=2.0)
        return vector_pass("gelu", inputs, outputs, ops=8.0, exps=1.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """f(x)."""
        (x,) = arrays
        if self.kind == "relu2":
            return (np.square(np.maximum(x, 0)),)
        c = x.dtype.type(np.sqrt(2.0 / np.pi))
        half, cubic = x.dtype.type(0.5), x.dtype.type(0.044715)
        return (half * x * (1 + np.tanh(c * (x + cubic * x * x * x))),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Both kinds."""
        x = 2.0 * rng(49).normal(size=(3, 8))
        return tuple(Example(cls(kind), (x,), ("bfloat16",)) for kind in KINDS)
