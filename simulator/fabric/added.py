"""Collectives beyond the built-in kinds: module simulator/fabric/<kind>.py, found by the name of the kind.

Such a module defines ``collective_seconds(payload, span, stack) -> seconds``; the roofline of the wire bytes and the
ports it occupies are added by ``collectives``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TypeAlias

from simulator.fabric.stack import CommStack
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number

BUILT_IN = ("all_reduce", "all_gather", "reduce_scatter", "broadcast", "all_to_all", "send_recv")
FUNCTION = "collective_seconds"

Algorithm: TypeAlias = Callable[[Number, Span, CommStack], Number]


def algorithm(kind: str) -> Algorithm:
    """The algorithm of a kind that is not built in. ValueError: no module of that name defines one."""
    name = f"simulator.fabric.{kind}"
    found = getattr(import_module(name), FUNCTION, None) if kind.isidentifier() and find_spec(name) else None
    if found is None:
        known = ", ".join(BUILT_IN)
        raise ValueError(f"collective {kind!r} is not known: {known}, or a module of simulator.fabric with {FUNCTION}")
    algorithm_of: Algorithm = found
    return algorithm_of
