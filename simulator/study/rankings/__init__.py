"""Ranking policies of ``silicast compare``: one module each, found by its name.

A policy has ``TITLE`` (what comes first, as the table's heading says it) and ``key(row)``: a number of which less is
better, or None where the row has no such figure. Devices on which the model does not fit come last in any case.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.profiles.errors import fail, nearest


@dataclass(frozen=True, slots=True)
class Ranking:
    """A policy by name: its heading and its key."""

    name: str
    title: str
    key: Callable[[Mapping[str, Any]], float | None]

    def order(self, row: Mapping[str, Any]) -> tuple[bool, float]:
        """Sort key of a row: first those that fit, then by the policy."""
        value = self.key(row)
        return not row["fits"], float("inf") if value is None else value


def names() -> tuple[str, ...]:
    """Every policy there is, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__)))


def ranking(name: str) -> Ranking:
    """The policy ``name``. ProfileError: there is none."""
    known = names()
    if name not in known:
        close = nearest(name, known)
        raise fail("--rank-by", 0, "", "unknown ranking" + (f", {close}" if close else ""), name, ", ".join(known))
    module = importlib.import_module(f"{__name__}.{name}")
    return Ranking(name, module.TITLE, module.key)
