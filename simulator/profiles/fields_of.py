"""Flat view of a nested dataclass, for listings and summaries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


def flat_fields(value: object, prefix: str = "") -> dict[str, Any]:
    """Dotted path -> plain value of every leaf of a dataclass; None leaves are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items: Mapping[str, Any] = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    elif isinstance(value, Mapping):
        items = {str(k): v for k, v in value.items()}
    else:
        return {prefix: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, Any] = {}
    for name, item in items.items():
        if item is not None:
            flat |= flat_fields(item, f"{prefix}.{name}" if prefix else name)
    return flat
