"""Time of a mixed step: what a decoding request waits for its next token while a prompt chunk is prefilled along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.study.result import Result


def value(result: Result, row: Mapping[str, Any]) -> float | None:
    """Milliseconds of ``phases.mixed``."""
    mixed = result.phases.get("mixed")
    return None if mixed is None else mixed.seconds * 1e3
