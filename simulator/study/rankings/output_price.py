"""Cheapest output token first; a scenario that decodes nothing is ranked by its input tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TITLE = "cheapest output token first"


def key(row: Mapping[str, Any]) -> float | None:
    """USD per million output tokens, else per million input tokens."""
    price = row["usd_per_mtok_output"]
    found: float | None = row["usd_per_mtok_input"] if price is None else price
    return found
