"""LocalShare: a rank keeps its own block of a tensor that every rank holds; nothing crosses the wire."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, CollectiveOp, Example, rng
from simulator.ops.shapes import axis_of, replace_dim, share_of
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class LocalShare(CollectiveOp):
    """x (the same on all ranks) -> block r along ``axis`` on rank r of ``group``; a view."""

    group: str = "tp"
    ranks: int = 1
    axis: int = 0
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``axis`` shrinks by the number of ranks."""
        (x,) = inputs
        return (replace_dim(x, self.axis, share_of(x.shape[axis_of(x, self.axis)], self.ranks)),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Nothing moves."""
        return Work()

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """One rank keeps everything."""
        return self.exchange([arrays])[0][0]

    def exchange(self, per_rank: list[tuple[Array, ...]]) -> tuple[list[tuple[Array, ...]], list[int]]:
        """Own block of each rank; no bytes."""
        n = len(per_rank)
        parts = [np.array_split(a[0], n, axis=self.axis)[r] for r, a in enumerate(per_rank)]
        return [(p,) for p in parts], [0] * n

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One and four ranks."""
        x = rng(41).normal(size=(8, 3))
        return Example(cls(), (x,), ("bfloat16",)), Example(cls(ranks=4), (x,), ("bfloat16",))
