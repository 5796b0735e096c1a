"""Quantize: store a tensor in a narrow format.

Arrays keep the *de-quantised* values (fake quantisation), the spec's dtype says how they are stored. Sources: e4m3fn
has maximum 448 and no infinity; block scale max(amax, 1e-4) / 448 per 1x128 tile, rounded up to a power of two with
ue8m0 (DeepSeek-V3.2-Exp kernel.py); weight blocks amax / 448 per 128x128 (DeepSeek-V3 report 3.3.2); MX formats: shared
exponent floor(log2(amax)) - emax per 32 (OCP Microscaling 1.0 section 6.3); FP8 latent cache: 512 values in 4 tiles,
rope kept (FlashMLA tests/quant.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import ml_dtypes
import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work
from simulator.profiles.dtypes import format_of

E4M3_MAX = 448.0
E2M1_MAX = 6.0
E4M3_EMAX = 8
E2M1_EMAX = 2
SMALLEST_AMAX = 1e-4  # keeps the scale of an all-zero tile positive


def round_to(x: Array, dtype: type) -> Array:
    """Values of ``x`` rounded to ``dtype`` (to nearest, ties to even), in the precision of ``x``."""
    out: Array = x.astype(np.float32).astype(dtype).astype(x.dtype)
    return out


def power_of_two_up(scale: Array) -> Array:
    """Smallest power of two not below ``scale`` (ue8m0)."""
    out: Array = np.exp2(np.ceil(np.log2(scale))).astype(scale.dtype)
    return out


def _tiles(x: Array, width: int) -> Array:
    """x[.., d] -> [.., tiles, width]; the last tile is padded with zeros."""
    pad = -x.shape[-1] % width
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, pad)])
    return padded.reshape(*x.shape[:-1], -1, width)


def _untile(tiles: Array, width: int) -> Array:
    flat = tiles.reshape(*tiles.shape[:-2], -1)
    return flat[..., :width]


def fp8_tiles(x: Array, width: int = 128, scale: str = "fp32") -> Array:
    """e4m3 with one scale per 1 x ``width`` tile of the last axis; scale "fp32" or "ue8m0"."""
    t = _tiles(x, width)
    s = np.maximum(np.abs(t).max(axis=-1, keepdims=True), SMALLEST_AMAX) / E4M3_MAX
    s = power_of_two_up(s) if scale == "ue8m0" else s
    return _untile(round_to(t / s, ml_dtypes.float8_e4m3fn) * s, x.shape[-1])


def fp8_weight_blocks(w: Array, size: int = 128, scale: str = "fp32") -> Array:
    """e4m3 with one scale per ``size`` x ``size`` block of the last two axes."""
    n, k = w.shape[-2:]
    pad = [(0, 0)] * (w.ndim - 2) + [(0, -n % size), (0, -k % size)]
    b = np.pad(w, pad)
    b = b.reshape(*w.shape[:-2], b.shape[-2] // size, size, b.shape[-1] // size, size)
    amax = np.abs(b).max(axis=(-3, -1), keepdims=True)
    s = np.where(amax > 0, amax, 1.0) / E4M3_MAX
    s = power_of_two_up(s) if scale == "ue8m0" else s
    q = round_to(b / s, ml_dtypes.float8_e4m3fn) * s
    return q.reshape(*w.shape[:-2], q.shape[-4] * size, q.shape[-2] * size)[..., :n, :k]


def microscaled(x: Array, dtype: type, emax: int, top: float, width: int = 32) -> Array:
    """MX: one power-of-two scale per ``width`` elements, values saturated at ``top``."""
    t = _tiles(x, width)
    amax = np.abs(t).max(axis=-1, keepdims=True)
    s = np.exp2(np.floor(np.log2(np.where(amax > 0, amax, 1.0))) - emax)
    return _untile(round_to(np.clip(t / s, -top, top), dtype) * s, x.shape[-1])


def nvfp4_tiles(x: Array, width: int = 16) -> Array:
    """e2m1 with one e4m3 scale per 16 and one fp32 scale per tensor (amax / (6 448))."""
    amax = float(np.abs(x).max(initial=0.0))
    whole = amax / (E2M1_MAX * E4M3_MAX) if amax > 0 else 1.0
    t = _tiles(x, width)
    s = round_to(np.abs(t).max(axis=-1, keepdims=True) / (E2M1_MAX * whole), ml_dtypes.float8_e4m3fn) * whole
    safe = np.where(s > 0, s, 1.0)
    q = round_to(np.clip(t / safe, -E2M1_MAX, E2M1_MAX), ml_dtypes.float4_e2m1fn)
    return _untile(np.where(s > 0, q * safe, 0.0), x.shape[-1])


def integer(x: Array, bits: int, width: int = 0) -> Array:
    """Symmetric integers with one scale per row (``width`` 0) or per ``width`` elements."""
    t = _tiles(x, width or x.shape[-1])
    top = 2.0 ** (bits - 1) - 1
    amax = np.abs(t).max(axis=-1, keepdims=True)
    s = np.where(amax > 0, amax, 1.0) / top
    return _untile(np.clip(np.rint(t / s), -top, top) * s, x.shape[-1])


def latent_cache(x: Array, latent: int, width: int, scale: str = "fp32") -> Array:
    """FP8 latent cache: the first ``latent`` values in e4m3 tiles of ``width``, the rotary rest in bfloat16."""
    low = fp8_tiles(x[..., :latent], width, scale)
    return np.concatenate([low, round_to(x[..., latent:], ml_dtypes.bfloat16)], axis=-1)


def fp8_tensor(x: Array) -> Array:
    """e4m3 with one scale for the whole tensor."""
    s = max(float(np.abs(x).max(initial=0.0)), SMALLEST_AMAX) / E4M3_MAX
    return round_to(x / s, ml_dtypes.float8_e4m3fn) * s


def _unchanged(x: Array) -> Array:
    return x


_ROUND: dict[str, Callable[[Array], Array]] = {
    "fp64": _unchanged,
    "fp32": partial(round_to, dtype=np.float32),
    "tf32": partial(round_to, dtype=np.float32),
    "bfloat16": partial(round_to, dtype=ml_dtypes.bfloat16),
    "fp16": partial(round_to, dtype=np.float16),
    "fp8": fp8_tensor,
    "fp8_block": fp8_tiles,
    "fp8_block_weight": fp8_weight_blocks,
    "fp8_mla": partial(latent_cache, latent=512, width=128),
    "fp8_mla_v4": partial(latent_cache, latent=448, width=64, scale="ue8m0"),
    "mxfp8": partial(microscaled, dtype=ml_dtypes.float8_e4m3fn, emax=E4M3_EMAX, top=E4M3_MAX),
    "mxfp4": partial(microscaled, dtype=ml_dtypes.float4_e2m1fn, emax=E2M1_EMAX, top=E2M1_MAX),
    "nvfp4": nvfp4_tiles,
    "int8": partial(integer, bits=8),
    "int8_token": partial(integer, bits=8),
    "int4": partial(integer, bits=4, width=128),
}


def fake_quantize(x: Array, name: str, scale: str = "") -> Array:
    """De-quantised values of ``x`` stored in format ``name``; ValueError lists the formats it can do.

    scale: "ue8m0" forces power-of-two scales of the block formats.
    """
    if name not in _ROUND:
        raise ValueError(f"cannot quantise to {name!r}; known: {', '.join(sorted(_ROUND))}")
    rounding = _ROUND[name]
    return rounding(x, scale=scale) if scale and "block" in name else rounding(x)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Quantize(Op):
    """x -> x stored in ``format``; scale "fp32" or "ue8m0" for the block formats."""

    format: str = "fp8_block"
    scale: str = ""
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same shape, the new format."""
        format_of(self.format)
        return (inputs[0].with_dtype(self.format),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Read once, find the maximum, scale, round, write values and scales."""
        return vector_pass("quantize", inputs, outputs, ops=4.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Fake-quantised values."""
        return (fake_quantize(arrays[0], self.format, self.scale),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Every format, on a width that fills its tiles."""
        x = rng(10).normal(size=(3, 256))
        kv = rng(11).normal(size=(2, 576))
        names = ("fp8_block", "int8_token", "mxfp8", "mxfp4", "nvfp4", "int4", "fp8", "bfloat16")
        cases = tuple(Example(cls(name), (x,), ("bfloat16",)) for name in names)
        return (*cases, Example(cls("fp8_mla"), (kv,), ("bfloat16",)))
