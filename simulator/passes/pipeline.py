"""Pipeline stages: layers are dealt out evenly; what crosses a boundary is sent.

Before: all layers on one stage. After: each node knows its stage and a SendRecv stands on every value that crosses;
weights of a stage live on its ranks only.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.models.graph import Graph, Node
from simulator.ops.collectives import SendRecv
from simulator.passes.rewrite import Rewriter


def stage_of(layer: int, layers: int, stages: int) -> int:
    """Stage of a layer when ``layers`` are dealt to ``stages`` as evenly as possible (earlier stages get the
    remainder).
    """
    return min(layer * stages // layers, stages - 1)


def pipeline(graph: Graph, layers: int, stages: int) -> Graph:
    """``graph`` (unrolled) over ``stages`` pipeline stages."""
    if stages == 1:
        return graph
    return _Cutting(graph, stages).run(layers)


class _Cutting(Rewriter):
    def __init__(self, graph: Graph, stages: int) -> None:
        super().__init__(graph)
        self.stages = stages
        self.home: dict[int, int] = {}
        self.sent: dict[tuple[int, int], int] = {}

    def run(self, layers: int) -> Graph:
        """Assigns stages and inserts the sends."""
        started = False
        for node in self.old.nodes:
            started = started or node.layer >= 0
            inside = 0 <= node.layer < layers
            stage = stage_of(node.layer, layers, self.stages) if inside else (self.stages - 1 if started else 0)
            inputs = tuple(self._near(i, stage, node) for i in node.inputs)
            number = len(self.nodes)
            outputs = tuple(self.value(self.old.values[o].name, self.old.values[o].spec) for o in node.outputs)
            self.nodes.append(replace(node, id=number, inputs=inputs, outputs=outputs, pipeline=stage))
            for old, new in zip(node.outputs, outputs, strict=True):
                self.at[old], self.home[new] = new, stage
        return self.graph()

    def _near(self, old: int, stage: int, node: Node) -> int:
        if self.old.values[old].role != "activation":
            return self.source(old)
        new = self.at[old]
        for s in range(self.home[new], stage):
            key = (new, s + 1)
            if key not in self.sent:
                template = max(n.template for n in self.old.nodes) + 1 + len(self.sent)
                op = SendRecv("pp", self.stages, dtype=self.spec(new).dtype)
                labels = {"stream": "comm", "part": "collective", "pipeline": s + 1, "template": template}
                (self.sent[key],) = self.emit(node, op, (new,), name="stage_send", **labels)
                self.home[self.sent[key]] = s + 1
            new = self.sent[key]
        return new
