"""Executes an operator graph in numpy on 1..N simulated ranks in lockstep (single program, multiple data).

Every node runs Op.reference on each rank; collectives run CollectiveOp.exchange on each instance of their group. What
was multiplied, touched and sent is counted on the way, so that the same run answers "is it right?" and "is it what is
costed?".
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simulator.models.graph import Graph, Node
from simulator.numerics.ranks import Ranks
from simulator.numerics.tensors import Arrays, global_of, local_input, local_weight
from simulator.ops.counting import Counts, counted
from simulator.ops.op import Array, CollectiveOp

ACROSS_STAGES = "pp"  # one set of ranks executes all pipeline stages; what is sent to the next stage is already there


@dataclass(slots=True)
class NodeCounts:
    """Summed over ranks. flops: of matrix products; touched: elements gathered, by input position; sent: wire bytes."""

    flops: float = 0.0
    touched: dict[int, float] = field(default_factory=dict)
    sent: int = 0

    def add(self, counts: Counts) -> None:
        """Adds the counts of one rank (or of one exchange)."""
        self.flops += counts.flops
        for position, elements in counts.touched.items():
            self.touched[position] = self.touched.get(position, 0.0) + elements


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """values[rank][value id]: every array of the run. counts: by node id."""

    graph: Graph
    ranks: Ranks
    values: list[dict[int, Array]]
    counts: dict[int, NodeCounts]

    def outputs(self, rank: int = 0) -> list[Array]:
        """Graph outputs of a rank."""
        return [self.values[rank][i] for i in self.graph.outputs]

    def find(self, node_name: str, rank: int = 0, layer: int | None = None) -> list[Array]:
        """First output of every node called ``node_name`` (of one layer), in graph order."""
        nodes = [n for n in self.graph.nodes if n.name == node_name and layer in (None, n.layer)]
        return [self.values[rank][n.outputs[0]] for n in nodes]

    def joined(self, node_name: str) -> list[Array]:
        """As ``find``, with the requests of all data-parallel ranks joined along the first axis."""
        tensor_first = [r for r in range(self.ranks.count) if self.ranks.position(r, "tp") == 0]
        per_rank = [self.find(node_name, r) for r in tensor_first]
        return [np.concatenate(parts, axis=0) for parts in zip(*per_rank, strict=True)]


def execute(graph: Graph, weights: Arrays, inputs: Arrays) -> Run:
    """Run ``graph`` on all ranks of one pipeline stage; weights and inputs are the global arrays by name."""
    ranks = Ranks(graph.parallel)
    values: list[dict[int, Array]] = [{} for _ in range(ranks.count)]
    given = set(graph.inputs)
    for value in graph.values:
        if value.role == "weight" or value.id in given:
            whole = global_of(weights if value.role == "weight" else inputs, value)
            cut = local_weight if value.role == "weight" else local_input
            for rank, held in enumerate(values):
                held[value.id] = cut(value, whole, rank, ranks)
    counts = {node.id: _step(node, ranks, values) for node in graph.nodes}
    return Run(graph, ranks, values, counts)


def _step(node: Node, ranks: Ranks, values: list[dict[int, Array]]) -> NodeCounts:
    total = NodeCounts()
    if isinstance(node.op, CollectiveOp) and node.op.ranks > 1 and node.op.group != ACROSS_STAGES:
        for members in ranks.members(node.op.group):
            _exchange(node, node.op, members, values, total)
        return total
    for held in values:
        with counted() as counts:
            outputs = node.op.reference(*(held[i] for i in node.inputs))
        total.add(counts)
        held.update(zip(node.outputs, outputs, strict=True))
    return total


def _exchange(
    node: Node, op: CollectiveOp, members: list[int], values: list[dict[int, Array]], total: NodeCounts
) -> None:
    if len(members) != op.ranks:
        raise ValueError(f"{node.name}: group {op.group!r} has {len(members)} ranks, the operator expects {op.ranks}")
    with counted() as counts:
        results, sent = op.exchange([tuple(values[r][i] for i in node.inputs) for r in members])
    total.add(counts)
    total.sent += sum(sent)
    for rank, outputs in zip(members, results, strict=True):
        values[rank].update(zip(node.outputs, outputs, strict=True))
