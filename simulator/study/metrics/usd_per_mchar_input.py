"""Price of a million characters of input text: what a document costs, whatever the tokenizer makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.study.result import Result


def value(result: Result, row: Mapping[str, Any]) -> float | None:
    """usd_per_mtok_input x tokens per character; None without a price or without the tokenizer's figure."""
    price, density = row["usd_per_mtok_input"], result.tokens_per_character
    return None if price is None or density is None else price * density
