"""Interactivity: output tokens a second that one user sees, 1 / TPOT; the x-axis of the field's Pareto plots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.study.result import Result


def value(result: Result, row: Mapping[str, Any]) -> float | None:
    """1000 / tpot_ms."""
    return 1e3 / row["tpot_ms"] if row["tpot_ms"] else None
