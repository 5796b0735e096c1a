"""Unrolling: every layer gets its own nodes and weights; nodes cloned from one body keep its template numbers.

Before: each distinct layer body once. After: all layers in order, ``bodies`` empty.
"""

from __future__ import annotations

from simulator.models.graph import Body, Graph, Node, Value
from simulator.passes.rewrite import copied


def unroll(graph: Graph) -> Graph:
    """``graph`` with folded bodies replaced by all their layers."""
    if not graph.bodies:
        return graph
    return _Unrolling(graph).run()


class _Unrolling:
    def __init__(self, graph: Graph) -> None:
        self.old = graph
        self.nodes: list[Node] = []
        self.values: list[Value] = []
        self.at: dict[int, int] = {}
        self.inputs: list[int] = []
        self.body = {b.layer: b for b in graph.bodies}
        self.members: dict[int, list[Node]] = {b.layer: [] for b in graph.bodies}
        self.order = sorted((i, b.layer) for b in graph.bodies for i in b.layers)

    def run(self) -> Graph:
        """Prologue, layers, epilogue."""
        g = self.old
        prologue, epilogue = self._partition()
        for node in prologue:
            self._clone(node, node.layer, self.at)
        carried: tuple[int, ...] = ()
        for index, built in self.order:
            carried = self._layer(index, self.body[built], carried)
        last = self.body[self.order[-1][1]]
        self.at.update(zip(last.carry_out, carried, strict=True))
        # the epilogue was described after the last body in order of first appearance
        self.at.update(zip(g.bodies[-1].carry_out, carried, strict=True))
        for node in epilogue:
            self._clone(node, node.layer, self.at)
        outputs = tuple(self.at[o] for o in g.outputs)
        return Graph(tuple(self.nodes), tuple(self.values), tuple(self.inputs), outputs, g.parallel)

    def _partition(self) -> tuple[list[Node], list[Node]]:
        prologue: list[Node] = []
        epilogue: list[Node] = []
        seen = False
        for node in self.old.nodes:
            if node.layer in self.members:
                seen = True
                self.members[node.layer].append(node)
            else:
                (epilogue if seen else prologue).append(node)
        return prologue, epilogue

    def _layer(self, index: int, body: Body, carried: tuple[int, ...]) -> tuple[int, ...]:
        scope = dict(self.at)
        scope.update(zip(body.carry_in, carried, strict=True) if carried else ())
        for node in self.members[body.layer]:
            self._clone(node, index, scope, body.layer)
        return tuple(scope[v] for v in body.carry_out)

    def _clone(self, node: Node, layer: int, at: dict[int, int], built: int | None = None) -> None:
        inputs = tuple([at[i] if i in at else self._leaf(i, at, layer, built) for i in node.inputs])
        outputs = []
        values = self.old.values
        for o in node.outputs:
            v = values[o]
            at[o] = number = len(self.values)
            name = _renamed(v.name, built, layer)
            self.values.append(Value(number, name, v.spec, v.role))
            outputs.append(number)
        self.nodes.append(
            Node(
                len(self.nodes),
                node.name,
                node.op,
                inputs,
                tuple(outputs),
                node.template,
                layer,
                node.kind,
                node.stage,
                node.stream,
                node.micro_batch,
                node.part,
                node.pipeline,
            )
        )

    def _leaf(self, old: int, at: dict[int, int], layer: int, built: int | None) -> int:
        v = self.old.values[old]
        own = built is not None and v.name.startswith(f"layers.{built}.")
        number = len(self.values)
        self.values.append(copied(v, number, _renamed(v.name, built, layer) if own else v.name))
        if own:
            at[old] = number
        else:
            self.at[old] = at[old] = number
        if v.role != "weight":
            self.inputs.append(number)
        return number


def _renamed(name: str, built: int | None, layer: int) -> str:
    if built is None or built == layer:
        return name
    return f"layers.{layer}.{name.split('.', 2)[2]}"
