"""Graph rewrites, in order. Each is a pure function Graph -> Graph in the file of its name.

formats -> shard -> context -> fuse, then unroll -> pipeline -> overlap. The first four work on folded layers (every distinct
layer body once), which keeps them fast for deep models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.passes.context import context
from simulator.passes.formats import formats
from simulator.passes.fuse import fuse
from simulator.passes.overlap import overlap
from simulator.passes.pipeline import pipeline
from simulator.passes.shard import shard
from simulator.passes.unroll import unroll
from simulator.profiles.model import Model


@dataclass(frozen=True, slots=True)
class Plan:
    """What the passes are told: model, resolved layout, formats, options, and the phase of the step."""

    model: Model
    layout: Layout
    formats: Formats
    options: Options
    phase: str


Pass = Callable[[Graph, Plan], Graph]

FOLDED: tuple[tuple[str, Pass], ...] = (
    ("formats", lambda g, p: formats(g, p.formats)),
    ("shard", lambda g, p: shard(g, p.layout)),
    ("context", lambda g, p: context(g, p.layout, p.phase)),
    ("fuse", lambda g, p: fuse(g, p.options.fusions)),
)
UNROLLED: tuple[tuple[str, Pass], ...] = (
    ("unroll", lambda g, p: unroll(g)),
    ("pipeline", lambda g, p: pipeline(g, p.model.num_layers, p.layout.pp)),
    ("overlap", lambda g, p: overlap(g, p.phase) if p.options.overlap == "two_batch" else g),
)


PASSES = FOLDED + UNROLLED


def apply(graph: Graph, plan: Plan, passes: tuple[tuple[str, Pass], ...] = PASSES) -> Graph:
    """Runs ``passes`` over a described graph."""
    for _name, run in passes:
        graph = run(graph, plan)
    return graph


__all__ = [
    "FOLDED",
    "PASSES",
    "UNROLLED",
    "Plan",
    "apply",
    "context",
    "formats",
    "fuse",
    "overlap",
    "pipeline",
    "shard",
    "unroll",
]
