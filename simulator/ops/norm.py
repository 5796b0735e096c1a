"""RMSNorm, LayerNorm, and RMSNorm fused with the residual addition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same, same_shape, vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


def rms_normalize(x: Array, eps: float, weight: Array | None = None, unit_offset: bool = False) -> Array:
    """x / sqrt(mean(x^2) + eps), times weight (or 1 + weight). Source: Zhang & Sennrich, arXiv 1910.07467."""
    y: Array = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    if weight is None:
        return y
    out: Array = y * (1.0 + weight if unit_offset else weight)
    return out


@dataclass(frozen=True)
class RMSNorm(Op):
    """x[.., d], [w[d]] -> [.., d]. unit_offset: the stored weight is w - 1. out_dtype "" = as the input."""

    eps: float = 1e-6
    unit_offset: bool = False
    out_dtype: str = ""
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same shape."""
        x, *weight = inputs
        require(self, all(same(w.shape[0], x.shape[-1]) for w in weight), "w[d] must match x[.., d]", *inputs)
        return (x.with_dtype(self.out_dtype or x.dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass: square, add, scale, weight."""
        return vector_pass("rmsnorm", inputs, outputs, ops=4.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """x / rms(x) w."""
        x, *weight = arrays
        return (rms_normalize(x, self.eps, weight[0] if weight else None, self.unit_offset),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """With weight, per head without weight, weight stored as w - 1."""
        g = rng(23)
        x, w = g.normal(size=(3, 8)), g.normal(size=8)
        return (
            Example(cls(), (x, w), ("bfloat16",) * 2),
            Example(cls(out_dtype="fp32"), (g.normal(size=(2, 3, 8)),), ("bfloat16",)),
            Example(cls(unit_offset=True), (x, w), ("bfloat16",) * 2),
        )


@dataclass(frozen=True)
class LayerNorm(Op):
    """x[.., d], w[d], b[d] -> [.., d]."""

    eps: float = 1e-6
    out_dtype: str = ""
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same shape."""
        x, w, b = inputs
        fits = same(w.shape[0], x.shape[-1]) and same(b.shape[0], x.shape[-1])
        require(self, fits, "w[d] and b[d] must match x[.., d]", *inputs)
        return (x.with_dtype(self.out_dtype or x.dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass: mean, variance, scale, weight, bias."""
        return vector_pass("layernorm", inputs, outputs, ops=7.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """(x - mean) / sqrt(var + eps) w + b. Source: Ba et al., arXiv 1607.06450."""
        x, w, b = arrays
        centred = x - x.mean(axis=-1, keepdims=True)
        return (centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + self.eps) * w + b,)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Two shapes."""
        g = rng(24)
        w, b = g.normal(size=8), g.normal(size=8)
        return tuple(
            Example(cls(), (g.normal(size=s), w, b), ("bfloat16", "fp32", "fp32")) for s in ((3, 8), (2, 3, 8))
        )


@dataclass(frozen=True)
class AddRMSNorm(Op):
    """x[.., d], residual[.., d], w[d] -> (norm(x + residual) w, x + residual)."""

    eps: float = 1e-6
    unit_offset: bool = False
    out_dtype: str = ""
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Normed, new residual."""
        x, residual, w = inputs
        fits = same_shape(x, residual) and same(w.shape[0], x.shape[-1])
        require(self, fits, "x, residual and w[d] must match", *inputs)
        return x.with_dtype(self.out_dtype or x.dtype), residual

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass over both."""
        return vector_pass("add_rmsnorm", inputs, outputs, ops=5.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Both results."""
        x, residual, w = arrays
        total = x + residual
        return rms_normalize(total, self.eps, w, self.unit_offset), total

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Two shapes."""
        g = rng(25)
        w = g.normal(size=8)
        return tuple(
            Example(cls(), (g.normal(size=s), g.normal(size=s), w), ("bfloat16",) * 3) for s in ((3, 8), (2, 3, 8))
        )
