"""Small graphs for before/after fixtures of the passes."""

from __future__ import annotations

from dataclasses import replace

from simulator.models.build import describe
from simulator.models.graph import Graph
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.numerics.scale_down import scale_down
from simulator.profiles.model import Model
from tests.models.bundled import model


def tiny(name: str, layers: int = 0) -> Model:
    """Scaled-down bundled model, cut to its last ``layers`` distinct layers (0 = all)."""
    m = scale_down(model(name))
    return replace(m, layers=m.layers[-layers:]) if layers else m


def described(name: str, phase: str = "decode", layers: int = 0, **options: object) -> Graph:
    """Folded graph of a step of 8 requests at 64 tokens (decode) or of 2 prompts of 16 (prefill)."""
    step = StepShape("decode", 8, 1, 64) if phase == "decode" else StepShape("prefill", 2, 16, 16)
    return describe(tiny(name, layers), step, Options(**options))  # type: ignore[arg-type]


def names(graph: Graph) -> list[str]:
    """Node names in order."""
    return [n.name for n in graph.nodes]


def node(graph: Graph, name: str, layer: int | None = None):  # type: ignore[no-untyped-def]
    """The first node of that name."""
    return next(n for n in graph.nodes if n.name == name and layer in (None, n.layer))


def dtypes(graph: Graph, name: str) -> tuple[str, ...]:
    """Formats of a node's inputs."""
    return tuple(graph.values[i].spec.dtype for i in node(graph, name).inputs)
