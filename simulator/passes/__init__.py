"""Graph rewrites, in order. Each is a pure function Graph -> Graph in the file of its name.

formats -> shard -> fuse -> unroll -> pipeline -> overlap. All but the last three work on folded layers (every distinct layer
body once), which keeps them fast for deep models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.models.formats import Formats, native
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.passes.formats import formats
from simulator.passes.shard import shard
from simulator.passes.unroll import unroll
from simulator.profiles.model import Model


@dataclass(frozen=True, slots=True)
class Plan:
    """What the passes are told: model, resolved layout, formats and options."""

    model: Model
    layout: Layout
    formats: Formats
    options: Options


Pass = Callable[[Graph, Plan], Graph]

PASSES: tuple[tuple[str, Pass], ...] = (
    ("formats", lambda g, p: formats(g, p.formats)),
    ("shard", lambda g, p: shard(g, p.layout)),
    ("unroll", lambda g, p: unroll(g)),
)


def apply(graph: Graph, model: Model, layout: Layout, choice: Formats | None, options: Options) -> Graph:
    """Runs all passes over a described graph."""
    plan = Plan(model, layout, choice or native(model), options)
    for _name, run in PASSES:
        graph = run(graph, plan)
    return graph


__all__ = ["PASSES", "Plan", "apply", "formats", "shard", "unroll"]
