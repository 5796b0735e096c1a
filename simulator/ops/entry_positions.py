"""EntryPositions: where pooled cache entries stand in the sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op
from simulator.ops.tensor import Dim, TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class EntryPositions(Op):
    """positions[B, q] -> [B, count]: ratio times the number of each new entry; ``past`` tokens come before. Free."""

    ratio: int
    past: Dim = 0
    count: Dim = 1
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, count]."""
        return (inputs[0].with_shape(inputs[0].shape[0], self.count),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Nothing."""
        return Work()

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Multiples of the ratio."""
        (positions,) = arrays
        numbers = int(self.past) // self.ratio + np.arange(int(self.count))
        start = positions[:, :1] - int(self.past)  # where the sequence begins
        return ((start + self.ratio * numbers).astype(positions.dtype),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """From the start, and continued."""
        cases = ((cls(4, 0, 2), 0, 9), (cls(4, 7, 1), 7, 1))
        return tuple(
            Example(op, (np.tile(first + np.arange(q, dtype=np.int32), (2, 1)),), ("int32",)) for op, first, q in cases
        )
