"""Embedding: gather one table row per token, whole or vocabulary-parallel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.collectives import add_up
from simulator.ops.counting import take_rows
from simulator.ops.op import Array, CollectiveOp, Example, Op, rng
from simulator.ops.shapes import require_rank
from simulator.ops.tensor import TensorSpec, prod
from simulator.ops.work import Collective, Gather, Work
from simulator.profiles.dtypes import format_of


@dataclass(frozen=True)
class Embedding(Op):
    """ids[..], table[V, h] -> [.., h]."""

    out_dtype: str = "bfloat16"
    family = "gather"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[.., h]."""
        ids, table = inputs
        require_rank(self, table, 2, "table")
        return (TensorSpec((*ids.shape, table.shape[1]), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One row per id."""
        ids, table = inputs
        row_bytes = prod(table.shape[1:]) * format_of(table.dtype).bytes
        return Work((Gather(ids.elements, row_bytes, "embedding"),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """table[ids]."""
        ids, table = arrays
        return (take_rows(table, ids, source=1),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Flat and batched ids."""
        g = rng(3)
        table = g.normal(size=(11, 6))
        return tuple(
            Example(cls(), (g.integers(0, 11, size=shape), table), ("int32", "bfloat16")) for shape in ((5,), (2, 3))
        )


@dataclass(frozen=True)
class VocabParallelEmbedding(CollectiveOp):
    """ids[..], table[V / ranks, h] -> [.., h]: each rank looks up the rows it owns, an all-reduce adds them up.

    Rank r owns rows r V / ranks ... Rows of foreign ids are zero. Source: Megatron-LM, arXiv 1909.08053 section 3.
    """

    group: str = "tp"
    ranks: int = 1
    out_dtype: str = "bfloat16"
    family = "collective"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[.., h]."""
        ids, table = inputs
        require_rank(self, table, 2, "table")
        return (TensorSpec((*ids.shape, table.shape[1]), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Expected share of the rows, then the all-reduce."""
        ids, table = inputs
        row_bytes = prod(table.shape[1:]) * format_of(table.dtype).bytes
        gather = Gather(ids.elements / self.ranks, row_bytes, "embedding")
        if self.ranks == 1:
            return Work((gather,))
        return Work((gather, Collective("all_reduce", outputs[0].nbytes, self.ranks, self.group)))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """One rank owns the whole table."""
        return self.exchange([arrays])[0][0]

    def exchange(self, per_rank: list[tuple[Array, ...]]) -> tuple[list[tuple[Array, ...]], list[int]]:
        """Masked lookups, summed over the ranks."""
        parts = []
        for r, (ids, table) in enumerate(per_rank):
            local = ids - r * table.shape[0]
            mine = (local >= 0) & (local < table.shape[0])
            part = np.zeros((*ids.shape, table.shape[1]), dtype=table.dtype)
            part[mine] = take_rows(table, local[mine], source=1)
            parts.append(part)
        total, sent = add_up(parts, format_of(self.out_dtype).bytes)
        return [(t,) for t in total], sent

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One rank, and four ranks with ids that fall evenly on them."""
        g = rng(4)
        ids = np.array([0, 3, 7, 9, 1, 4, 6, 11])
        return (
            Example(cls(ranks=1), (np.array([0, 2, 1, 1]), g.normal(size=(3, 8))), ("int32", "bfloat16")),
            Example(cls(ranks=4), (ids, g.normal(size=(3, 8))), ("int32", "bfloat16")),
        )
