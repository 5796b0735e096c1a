"""Hadamard: the orthogonal Walsh-Hadamard rotation of the last axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


def walsh_hadamard(x: Array) -> Array:
    """H x / sqrt(d) by log2(d) butterfly steps; d must be a power of two."""
    d, y, width = x.shape[-1], x, 1
    while width < d:
        pairs = y.reshape(*x.shape[:-1], x.shape[-1] // (2 * width), 2, width)
        a, b = pairs[..., 0, :], pairs[..., 1, :]
        y = np.stack([a + b, a - b], axis=-2).reshape(x.shape)
        width *= 2
    out: Array = y / np.sqrt(float(d)).astype(x.dtype)
    return out


@dataclass(frozen=True)
class Hadamard(Op):
    """x[.., d] -> rotated x[.., d], d a power of two. Dot products of two rotated vectors are unchanged."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as the input."""
        d = np.asarray(inputs[0].shape[-1])
        power = np.all((d >= 1) & (np.log2(d) == np.floor(np.log2(d))))
        require(self, bool(power), "the last dimension must be a power of two", inputs[0])
        return inputs

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """log2(d) additions and one scaling per element."""
        d = float(np.max(np.asarray(inputs[0].shape[-1])))
        return vector_pass("hadamard", inputs, outputs, ops=float(np.log2(d)) + 1.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Fast transform."""
        return (walsh_hadamard(arrays[0]),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Two widths."""
        g = rng(27)
        return tuple(Example(cls(), (g.normal(size=s),), ("bfloat16",)) for s in ((3, 8), (2, 3, 128)))
