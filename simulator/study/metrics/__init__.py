"""Metrics of a row beyond the basic ones: one module each, named like the key it adds (unit in the name).

A metric has ``value(result, row)``: a number, or None where the scenario has no such figure. ``row`` holds the basic
keys of ``study.rows``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.study.result import Result


def names() -> tuple[str, ...]:
    """Every metric there is, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__)))


def further(result: Result, row: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of this package for a result and its row."""
    return {name: importlib.import_module(f"{__name__}.{name}").value(result, row) for name in names()}
