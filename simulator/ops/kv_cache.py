"""CacheAppend: new rows join a key-value (or index-key) cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, rows_of, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Elementwise, Work


@dataclass(frozen=True)
class CacheAppend(Op):
    """past[B, P, ..], new[B, q, ..] -> cache[B, P + q, ..].

    The cache keeps the format of ``past``: new rows stored in another format are converted on the way, in the same
    kernel. Only the new rows move; the rest of the cache stays where it is. All requests of the batch have equal
    lengths.
    """

    family = "elementwise"
    moves_part = True

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """The longer cache."""
        past, new = inputs
        rank = len(past.shape) == len(new.shape) and len(past.shape) >= 3
        axes = (0, *range(2, len(past.shape))) if rank else ()
        fits = rank and all(same(past.shape[i], new.shape[i]) for i in axes)
        require(self, fits, "past[B, P, ..] and new[B, q, ..] must agree but for the length", past, new)
        return (past.with_shape(past.shape[0], past.shape[1] + new.shape[1], *past.shape[2:]),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """New rows read once and written once in the cache's format."""
        past, new = inputs
        written = new.with_dtype(past.dtype).nbytes
        ops = 0.0 if past.dtype == new.dtype else 4.0
        return Work((Elementwise("cache_append", rows_of(new), new.shape[-1], new.nbytes, written, ops),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Concatenation along the length; rounding to a narrow cache format is a Quantize node before this one."""
        return (np.concatenate(arrays, axis=1),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Latent rows, per-head rows, an empty cache."""
        g = rng(29)
        latent = (g.normal(size=(2, 4, 6)), g.normal(size=(2, 1, 6)))
        heads = (g.normal(size=(2, 4, 3, 6)), g.normal(size=(2, 2, 3, 6)))
        empty = (np.zeros((2, 0, 6)), g.normal(size=(2, 3, 6)))
        return tuple(Example(cls(), case, ("bfloat16",) * 2) for case in (latent, heads, empty))
