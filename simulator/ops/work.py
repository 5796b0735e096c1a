"""What an operator asks of a machine, in terms a core model can cost: shapes, not times.

``Work`` is a tuple of terms. Each term is one kind of activity (a matrix product, an attention sweep, a vector pass, a
gather, a collective ...) with its shape. FLOPs and bytes are *derived* from the terms, so that what is costed, what is
counted and what the drift tests compare is one description. Every field that counts something may be an array with one
entry per scenario. 1 multiply-accumulate = 2 FLOP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from simulator.ops.matrix_terms import Attention, GroupedMatmul, IndexScores, Matmul
from simulator.ops.tensor import Number
from simulator.ops.vector_terms import Elementwise, Gather, TopK
from simulator.ops.wire_terms import Collective, ExpertExchange

__all__ = [
    "Attention",
    "Collective",
    "Elementwise",
    "ExpertExchange",
    "Gather",
    "GroupedMatmul",
    "IndexScores",
    "Matmul",
    "Term",
    "TopK",
    "Work",
]

Term: TypeAlias = (
    Matmul | GroupedMatmul | Attention | IndexScores | TopK | Elementwise | Gather | Collective | ExpertExchange
)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The terms of one operator, executed one after the other as (at least) one kernel each."""

    terms: tuple[Term, ...] = field(default_factory=tuple)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def matmul_flops(self) -> dict[str, Number]:
        """Matrix FLOPs by rate class."""
        total: dict[str, Number] = {}
        for t in self.terms:
            if isinstance(t, Matmul | GroupedMatmul | Attention | IndexScores):
                total[t.rate] = total.get(t.rate, 0.0) + t.flops()
        return total

    def flops(self) -> Number:
        """Matrix FLOPs of all rate classes."""
        return sum(self.matmul_flops().values(), start=0.0)

    def vector_ops(self) -> Number:
        """Vector-unit operations."""
        return sum((t.vector_ops() for t in self.terms if isinstance(t, IndexScores | TopK | Elementwise)), start=0.0)

    def exponentials(self) -> Number:
        """Transcendental operations."""
        return sum((t.exponentials() for t in self.terms if isinstance(t, Attention | Elementwise)), start=0.0)

    def bytes_read(self) -> Number:
        """Bytes read at least once from device memory."""
        return sum((t.bytes_read() for t in self.terms if not isinstance(t, Collective | ExpertExchange)), start=0.0)

    def bytes_written(self) -> Number:
        """Bytes written."""
        return sum((t.bytes_written() for t in self.terms if not isinstance(t, Collective | ExpertExchange)), start=0.0)

    def wire_bytes(self) -> Number:
        """Bytes one rank sends over the fabric."""
        return sum((t.wire_bytes() for t in self.terms if isinstance(t, Collective | ExpertExchange)), start=0.0)
