"""Steps a chunked prefill takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.study.result import Result


def value(result: Result, row: Mapping[str, Any]) -> int | None:
    """Number of steps where ``phases.prefill.chunk`` is given."""
    prefill = result.phases.get("prefill")
    return None if prefill is None or prefill.chunks is None else prefill.chunks.count
