"""Strided outputs: a kernel that feeds a concatenation writes into its slice of the joined tensor.

Before: producers write their own tensors and a copy joins them. After: the copy is gone, shapes stay.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.models.graph import Graph
from simulator.ops.views import Concat


def write_in_place(graph: Graph) -> Graph:
    """``graph`` with every concatenation of activations marked as written in place."""
    nodes = tuple(
        replace(n, op=replace(n.op, in_place=True)) if isinstance(n.op, Concat) and _activations(graph, n.inputs) else n
        for n in graph.nodes
    )
    return graph.with_nodes(nodes)


def _activations(graph: Graph, values: tuple[int, ...]) -> bool:
    return all(graph.values[i].role == "activation" for i in values)
