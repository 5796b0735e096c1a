"""RollingState: new rows join a short history; only its tail is kept for the next step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, rows_of, same
from simulator.ops.tensor import Dim, TensorSpec
from simulator.ops.work import Elementwise, Work


@dataclass(frozen=True)
class RollingState(Op):
    """state[B, W, d], new[B, q, d] -> joined[B, W + q, d], kept[B, keep, d] (the last ``keep`` rows).

    The history is a ring in memory: only the new rows move.
    """

    keep: Dim = 0
    family = "elementwise"
    moves_part = True

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Joined rows, kept rows."""
        state, new = inputs
        fits = len(state.shape) == 3 and len(new.shape) == 3
        fits = fits and same(state.shape[0], new.shape[0]) and same(state.shape[2], new.shape[2])
        require(self, fits, "state[B, W, d] and new[B, q, d] must share B and d", state, new)
        joined = state.shape[1] + new.shape[1]
        require(self, bool(np.all(np.asarray(joined) >= self.keep)), f"cannot keep {self.keep} rows", state, new)
        batch, _, width = new.shape
        return new.with_shape(batch, joined, width), state.with_shape(batch, self.keep, width)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """New rows read once and written once."""
        state, new = inputs
        written = new.with_dtype(state.dtype).nbytes
        return Work((Elementwise("cache_append", rows_of(new), new.shape[-1], new.nbytes, written, ops=0.0),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Concatenation and its tail."""
        joined = np.concatenate(arrays, axis=1)
        return joined, joined[:, joined.shape[1] - int(self.keep) :]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Part of the rows kept; an empty history."""
        g = rng(54)
        cases = ((cls(5), 3, 4), (cls(2), 0, 3))
        return tuple(
            Example(op, (g.normal(size=(2, w, 6)), g.normal(size=(2, q, 6))), ("bfloat16",) * 2) for op, w, q in cases
        )
