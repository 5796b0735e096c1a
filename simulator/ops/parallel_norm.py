"""ParallelRMSNorm: RMSNorm over a dimension that is cut over the ranks of a group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import collectives
from simulator.ops.norm import rms_normalize
from simulator.ops.op import Array, CollectiveOp, Example, rng
from simulator.ops.shapes import require, rows_of, same, vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Collective, Work

SUM_BYTES = 4  # one fp32 mean square per row


@dataclass(frozen=True)
class ParallelRMSNorm(CollectiveOp):
    """x[.., d / ranks], w[d / ranks] -> x / rms over all ranks' parts, times w; the mean squares are all-reduced."""

    group: str = "tp"
    ranks: int = 1
    eps: float = 1e-6
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same shape as x."""
        x, w = inputs
        require(self, same(w.shape[0], x.shape[-1]), "w[d] must match x[.., d]", *inputs)
        return (x,)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """The vector pass and an all-reduce of one number per row."""
        own = vector_pass("rmsnorm", inputs, outputs, ops=4.0)
        if self.ranks == 1:
            return own
        return Work((*own.terms, Collective("all_reduce", rows_of(inputs[0]) * SUM_BYTES, self.ranks, self.group)))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """One rank holds the whole dimension."""
        x, w = arrays
        return (rms_normalize(x, self.eps, w),)

    def exchange(self, per_rank: list[tuple[Array, ...]]) -> tuple[list[tuple[Array, ...]], list[int]]:
        """Sum of the mean squares over the ranks, then every rank scales its part."""
        n = len(per_rank)
        squares = [np.mean(x * x, axis=-1, keepdims=True) / n for x, _ in per_rank]
        total, sent = collectives.add_up(squares, SUM_BYTES)
        return [(x / np.sqrt(t + self.eps) * w,) for (x, w), t in zip(per_rank, total, strict=True)], sent

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One and four ranks."""
        g = rng(48)
        x, w = g.normal(size=(4, 8)), g.normal(size=8)
        return tuple(Example(cls(ranks=n), (x, w), ("bfloat16",) * 2) for n in (1, 4))
