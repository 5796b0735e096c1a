"""One rank's step with every distinct layer body once: what a step costs, without a node for each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulator.models.graph import Graph
from simulator.passes.unroll import unroll
from simulator.replay.build import program_of
from simulator.replay.program import PS_PER_SECOND
from simulator.replay.structure import structure_of
from simulator.study.node_cost import NodeCost

Floats = npt.NDArray[np.float64]


def step_seconds(graph: Graph, costs: Mapping[int, NodeCost]) -> Floats:
    """Replayed time of a folded graph: each segment between two cuts as often as its layer body occurs."""
    uses = uses_of(graph)
    once = _one_layer_each(graph)
    links = {t: tuple(link.id for link in c.links) for t, c in costs.items() if c.links}
    program, durations = program_of(once, {t: c.cost.seconds for t, c in costs.items()}, links)
    columns = durations if durations.ndim == 2 else durations[:, None]
    structure = structure_of(program)
    total = np.zeros(columns.shape[1], dtype=np.float64)
    for first, index in structure.sequence:
        length = structure.shapes[index].length(columns)
        total += uses.get(once.nodes[program.origin[first]].layer, 1) * length
    return total / PS_PER_SECOND


@lru_cache(maxsize=64)
def _one_layer_each(graph: Graph) -> Graph:
    return unroll(replace(graph, bodies=tuple(replace(b, layers=(b.layer,)) for b in graph.bodies)))


def uses_of(graph: Graph) -> dict[int, int]:
    """Layer that stands for a body -> layers that share it."""
    return {b.layer: len(b.layers) for b in graph.bodies}
