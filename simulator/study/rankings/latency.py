"""Shortest time per output token first; a scenario that decodes nothing is ranked by its prefill step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLE = "shortest time per output token first"


def key(row: Mapping[str, Any]) -> float | None:
    """TPOT, else TTFT, in ms."""
    found: float | None = row["ttft_ms"] if row["tpot_ms"] is None else row["tpot_ms"]
    return found
