"""Rope: rotary position embedding, both layouts, partial rotation, inverse, YaRN and Llama-3 frequency scaling.

Sources: Su et al., arXiv 2104.09864; YaRN, Peng et al., arXiv 2309.00071 (frequency ramp as in DeepSeek-V3
inference/model.py); Llama-3.1 scaling as in transformers modeling_rope_utils.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, rows_of, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Elementwise, Work
from simulator.profiles.dtypes import format_of


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How frequencies are stretched beyond the trained context.

    kind: none, linear, yarn, llama3. original: trained context. beta_fast, beta_slow: YaRN ramp in rotations; truncate
    rounds the ramp to whole dimensions. low, high: Llama-3 frequency factors. magnitude multiplies the rotated part.
    """

    kind: str = "none"
    factor: float = 1.0
    original: int = 4096
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    low: float = 1.0
    high: float = 4.0
    magnitude: float = 1.0


def _yarn(freqs: Array, dim: int, theta: float, s: RopeScaling) -> Array:
    def dimension(rotations: float) -> float:
        return float(dim * np.log(s.original / (rotations * 2 * np.pi)) / (2 * np.log(theta)))

    low, high = dimension(s.beta_fast), dimension(s.beta_slow)
    if s.truncate:
        low, high = np.floor(low), np.ceil(high)
    low, high = max(low, 0.0), min(high, dim - 1.0)
    ramp = np.clip((np.arange(dim // 2) - low) / max(high - low, 1e-3), 0.0, 1.0)
    out: Array = freqs / s.factor * ramp + freqs * (1.0 - ramp)
    return out


def _llama3(freqs: Array, s: RopeScaling) -> Array:
    turns = s.original * freqs / (2 * np.pi)
    smooth = np.clip((turns - s.low) / (s.high - s.low), 0.0, 1.0)
    out: Array = (1.0 - smooth) * freqs / s.factor + smooth * freqs
    return out


def frequencies(dim: int, theta: float, scaling: RopeScaling) -> Array:
    """Angular frequency of each of the dim / 2 pairs."""
    freqs: Array = theta ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)
    if scaling.kind == "none":
        return freqs
    if scaling.kind == "linear":
        return freqs / scaling.factor
    if scaling.kind == "yarn":
        return _yarn(freqs, dim, theta, scaling)
    if scaling.kind == "llama3":
        return _llama3(freqs, scaling)
    raise ValueError(f"unknown rope scaling {scaling.kind!r}; known: none, linear, yarn, llama3")


def rotate(x: Array, angles: Array, interleaved: bool) -> Array:
    """x[.., d] rotated pair by pair by angles[.., d / 2]; pairs (2i, 2i + 1) or (i, i + d / 2)."""
    cos, sin = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    if interleaved:
        a, b = x[..., 0::2], x[..., 1::2]
        return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1).reshape(x.shape)
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


@dataclass(frozen=True)
class Rope(Op):
    """x[T, .., d], positions[T] -> x with ``dim`` of its d elements rotated (positions[B, q] go with x[B, q, .., d]).

    first: rotate the first ``dim`` elements, else the last. interleaved: pairs (2i, 2i + 1), else halves. inverse:
    rotate back.
    """

    dim: int
    theta: float = 10000.0
    interleaved: bool = False
    first: bool = True
    inverse: bool = False
    scaling: RopeScaling = RopeScaling()
    family = "elementwise"
    moves_part = True

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x."""
        x, positions = inputs
        lead = len(positions.shape) < len(x.shape)
        fits = lead and all(same(a, b) for a, b in zip(positions.shape, x.shape, strict=False))
        require(self, fits, "positions must match the leading dimensions of x", x, positions)
        require(self, bool(np.all(np.asarray(x.shape[-1]) >= self.dim)), f"x must have {self.dim} elements or more", x)
        return (x,)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """In place: only the rotated slice moves; two multiplications and one addition per element."""
        x = inputs[0]
        moved = rows_of(x) * self.dim * format_of(x.dtype).bytes
        return Work((Elementwise("rope", rows_of(x), self.dim, moved, moved, ops=3.0),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Rotated copy."""
        x, positions = arrays
        angles = positions[..., None] * frequencies(self.dim, self.theta, self.scaling)
        angles = angles.reshape(*positions.shape, *([1] * (x.ndim - positions.ndim - 1)), self.dim // 2)
        cut = self.dim if self.first else x.shape[-1] - self.dim
        head, tail = x[..., :cut], x[..., cut:]
        part = rotate(head if self.first else tail, -angles if self.inverse else angles, self.interleaved)
        part = part * x.dtype.type(self.scaling.magnitude)
        return (np.concatenate([part, tail] if self.first else [head, part], axis=-1),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Whole heads, the last part of shared keys with YaRN, batched positions."""
        g = rng(28)
        yarn = RopeScaling("yarn", 4.0, 16)
        at = np.arange(3)
        return (
            Example(cls(8), (g.normal(size=(3, 2, 8)), at), ("bfloat16", "int32")),
            Example(
                cls(4, interleaved=True, first=False, scaling=yarn), (g.normal(size=(3, 6)), at), ("fp32", "int32")
            ),
            Example(cls(6), (g.normal(size=(2, 3, 2, 8)), at + np.array([[0], [5]])), ("bfloat16", "int32")),
        )
