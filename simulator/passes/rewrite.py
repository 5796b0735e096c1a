"""Walks a graph node by node into a new one: the frame every pass shares.

A pass subclasses nothing; it calls ``Rewriter`` methods to copy values and emit nodes, and finishes with ``graph()``.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.models.graph import Body, Graph, Node, Value
from simulator.ops.op import Op
from simulator.ops.tensor import TensorSpec


class Rewriter:
    """Builds a new graph from an old one. ``at[old id]`` is the new id that stands for an old value."""

    def __init__(self, old: Graph) -> None:
        self.old = old
        self.nodes: list[Node] = []
        self.values: list[Value] = []
        self.at: dict[int, int] = {}

    def value(self, name: str, spec: TensorSpec, role: str = "activation") -> int:
        """A new value."""
        self.values.append(Value(len(self.values), name, spec, role))
        return len(self.values) - 1

    def source(self, old: int, **changes: object) -> int:
        """The new id of a weight, cache or input, copied (with ``changes``) on first use."""
        if old not in self.at:
            same = copied(self.old.values[old], len(self.values))
            self.values.append(replace(same, **changes) if changes else same)  # type: ignore[arg-type]
            self.at[old] = len(self.values) - 1
        return self.at[old]

    def spec(self, new: int) -> TensorSpec:
        """Spec of a new value."""
        return self.values[new].spec

    def emit(self, like: Node, op: Op, inputs: tuple[int, ...], *, name: str = "", **labels: object) -> tuple[int, ...]:
        """Appends a node labelled as ``like``; outputs are inferred. Returns their new ids."""
        outputs = self.append(like, op, inputs, op.infer(*[self.values[i].spec for i in inputs]), name)
        if labels:
            self.nodes[-1] = replace(self.nodes[-1], **labels)  # type: ignore[arg-type]
        return outputs

    def append(
        self, like: Node, op: Op, inputs: tuple[int, ...], specs: tuple[TensorSpec, ...], name: str = ""
    ) -> tuple[int, ...]:
        """As ``emit``, with the specs of the outputs known."""
        title, number = name or like.name, len(self.nodes)
        names = [self.old.values[o].name for o in like.outputs] if not name and len(specs) == len(like.outputs) else []
        scope = f"layers.{like.layer}." if like.layer >= 0 else ""
        fresh = (f"{scope}{title}.{i}" if i else scope + title for i in range(len(specs)))
        outputs = tuple([self.value(n, s) for n, s in zip(names or fresh, specs, strict=False)])
        where = (like.layer, like.kind, like.stage, like.stream, like.micro_batch, like.part, like.pipeline)
        self.nodes.append(Node(number, title, op, inputs, outputs, number, *where))
        return outputs

    def keep(self, node: Node, op: Op | None = None) -> tuple[int, ...]:
        """Copies a node (its op replaced if given) on the values that stand for its inputs."""
        inputs, old = tuple([self.at[i] for i in node.inputs]), self.old.values
        if op is None and all(self.values[n].spec is old[i].spec for n, i in zip(inputs, node.inputs, strict=True)):
            outputs = self.append(node, node.op, inputs, tuple([old[o].spec for o in node.outputs]))
        else:
            outputs = self.emit(node, op or node.op, inputs)
        self.at.update(zip(node.outputs, outputs, strict=True))
        return outputs

    def graph(self, parallel: dict[str, int] | None = None) -> Graph:
        """The new graph; inputs, outputs and carried values follow ``at``."""
        old = self.old
        inputs = tuple(self.source(i) for i in old.inputs)
        bodies = tuple(
            Body(b.layer, b.layers, tuple(self.at[i] for i in b.carry_in), tuple(self.at[i] for i in b.carry_out))
            for b in old.bodies
        )
        outputs = tuple(self.at[o] for o in old.outputs)
        groups = old.parallel if parallel is None else parallel
        return Graph(tuple(self.nodes), tuple(self.values), inputs, outputs, groups, bodies)


def copied(v: Value, number: int, name: str = "") -> Value:
    """``v`` under another number (dataclasses.replace takes twice the time, and passes copy every value)."""
    return Value(number, name or v.name, v.spec, v.role, v.shard, v.shard_also, v.blocks, v.ways)


def consumers(graph: Graph) -> dict[int, list[Node]]:
    """Nodes that read each value."""
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for i in node.inputs:
            readers.setdefault(i, []).append(node)
    return readers


def producers(graph: Graph) -> dict[int, Node]:
    """Node that writes each value."""
    return {o: node for node in graph.nodes for o in node.outputs}
