"""Terms of the vector unit and of plain data movement: selection, vector passes, gathers. See work.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.tensor import Dim, Number, as_float


@dataclass(frozen=True, slots=True, eq=False)
class TopK:
    """Pick the k largest of each of ``rows`` rows of ``cols`` fp32 scores; writes int32 indices."""

    rows: Dim
    cols: Dim
    k: Dim
    passes: float = 2.0

    def bytes_read(self) -> Number:
        """Radix selection reads the row about twice."""
        return self.passes * 4.0 * as_float(self.rows) * as_float(self.cols)

    def bytes_written(self) -> Number:
        """k int32 per row."""
        return 4.0 * as_float(self.rows) * np.minimum(as_float(self.k), as_float(self.cols))

    def vector_ops(self) -> Number:
        """One compare per element and pass."""
        return self.passes * as_float(self.rows) * as_float(self.cols)


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise:
    """A vector pass over ``rows`` x ``cols`` elements.

    name: what it computes (rmsnorm, silu_mul, rope, quantize ...); stacks may own a kernel of that name.
    read / written: bytes moved in total. ops, exps: vector and transcendental operations per element.
    """

    name: str
    rows: Dim
    cols: Dim
    read: Number
    written: Number
    ops: float = 1.0
    exps: float = 0.0
    kernels: int = 1

    def elements(self) -> Number:
        """rows x cols."""
        return as_float(self.rows) * as_float(self.cols)

    def vector_ops(self) -> Number:
        """Vector operations."""
        return self.ops * self.elements()

    def exponentials(self) -> Number:
        """Transcendental operations."""
        return self.exps * self.elements()

    def bytes_read(self) -> Number:
        """Bytes read."""
        return self.read

    def bytes_written(self) -> Number:
        """Bytes written."""
        return self.written


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Move ``rows`` scattered rows of ``row_bytes`` each (embedding, permutation, paged copy)."""

    rows: Dim
    row_bytes: Number
    name: str = "gather"

    def bytes_read(self) -> Number:
        """Rows read."""
        return as_float(self.rows) * self.row_bytes

    def bytes_written(self) -> Number:
        """Rows written."""
        return as_float(self.rows) * self.row_bytes
