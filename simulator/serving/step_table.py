"""Step times of one engine as small tables: what a request-level evaluation asks for instead of simulating every step.

A decode step is a function of (sequences per rank, mean context); a prefill step of its tokens plus, for each prompt chunk, the
attention over what is already cached. Steps that mix both run the projections of all tokens once and each its own attention.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DecodeTable:
    """seconds[b, k], core[b, k]: whole device step and its attention part at batches[b] sequences a rank of contexts[k] tokens."""

    batches: Floats
    contexts: Floats
    seconds: Floats
    core: Floats

    def at(self, batch: Floats | float, context: Floats | float) -> Floats:
        """Device seconds of a decode step, piecewise linear in both sizes."""
        return _bilinear(self.batches, self.contexts, self.seconds, batch, context)

    def core_at(self, batch: Floats | float, context: Floats | float) -> Floats:
        """Attention part of ``at``."""
        return _bilinear(self.batches, self.contexts, self.core, batch, context)


@dataclass(frozen=True, slots=True, eq=False)
class PrefillTable:
    """linear[t]: step of tokens[t] new tokens a rank without attention. attention[t, p]: of one prompt with pasts[p] cached."""

    tokens: Floats
    pasts: Floats
    linear: Floats
    attention: Floats

    def attention_at(self, tokens: Floats | float, past: Floats | float) -> Floats:
        """Attention seconds of a chunk of ``tokens`` tokens behind ``past`` cached ones."""
        return _bilinear(self.tokens, self.pasts, self.attention, tokens, past)


@dataclass(frozen=True, eq=False)
class StepTable:
    """Both tables of an engine; either may be absent where the engine runs one phase only."""

    decode: DecodeTable | None
    prefill: PrefillTable | None

    @cached_property
    def phases(self) -> tuple[str, ...]:
        """Phases present."""
        return tuple(n for n, t in (("decode", self.decode), ("prefill", self.prefill)) if t is not None)


def _bilinear(rows: Floats, columns: Floats, table: Floats, row: Floats | float, column: Floats | float) -> Floats:
    """Piecewise-linear in both axes; beyond the last point the last slope goes on, before the first the first value holds."""
    i, u = _place(rows, row)
    j, v = _place(columns, column)
    top = table[i, j] * (1 - v) + table[i, j + 1] * v
    bottom = table[i + 1, j] * (1 - v) + table[i + 1, j + 1] * v
    return np.asarray(top * (1 - u) + bottom * u)


def _place(grid: Floats, at: Floats | float) -> tuple[npt.NDArray[np.intp], Floats]:
    x = np.asarray(at, dtype=np.float64)
    i = np.clip(np.searchsorted(grid, x, side="right") - 1, 0, len(grid) - 2)
    return i, np.maximum((x - grid[i]) / (grid[i + 1] - grid[i]), 0.0)
