"""One verified statement: what was compared, how large the error was, and how large it may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array


@dataclass(frozen=True, slots=True)
class Check:
    """id: D drift, N identity (docs/invariants.md). error and bound are relative unless ``what`` names a unit."""

    id: str
    what: str
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the error is within its bound (NaN fails)."""
        return bool(self.error <= self.bound)

    def row(self) -> dict[str, object]:
        """As the JSON output shows it."""
        values = {"id": self.id, "what": self.what, "error": self.error, "bound": self.bound}
        return {**values, "passed": self.passed}


def relative_error(found: Array, expected: Array) -> float:
    """Frobenius norm of the difference over that of ``expected``; infinite if shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    scale = float(np.linalg.norm(expected.astype(np.float64).ravel()))
    gap = float(np.linalg.norm((found.astype(np.float64) - expected.astype(np.float64)).ravel()))
    return gap / scale if scale > 0 else gap


def worst(found: list[Array], expected: list[Array]) -> float:
    """Largest relative error over pairs of arrays; infinite if there are none or the numbers differ."""
    if len(found) != len(expected) or not found:
        return float("inf")
    return max(relative_error(a, b) for a, b in zip(found, expected, strict=True))
