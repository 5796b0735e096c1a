"""Merging projections: several products of one activation become one product over stacked weights.

Before: q_a(x), kv_a(x). After: one Linear with weight [q_a; kv_a] and a free split of its output.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.models.graph import Graph, Node, Value
from simulator.ops.linear import Linear
from simulator.ops.views import Split
from simulator.passes.rewrite import Rewriter


def merge_projections(graph: Graph, groups: tuple[tuple[str, ...], ...]) -> Graph:
    """``graph`` with Linear nodes of the given names merged wherever they read the same activation in the same
    formats.
    """
    found = [g for names in groups for g in _matching(graph, names)]
    return _Merging(graph).run(found) if found else graph


def _matching(graph: Graph, names: tuple[str, ...]) -> list[list[Node]]:
    same: dict[tuple[object, ...], list[Node]] = {}
    for n in graph.nodes:
        if n.name in names and isinstance(n.op, Linear) and len(n.inputs) == 2:
            weight = graph.values[n.inputs[1]]
            key = (n.layer, n.inputs[0], n.op, weight.spec.dtype, weight.shard)
            same.setdefault(key, []).append(n)
    return [g for g in same.values() if len(g) > 1]


class _Merging(Rewriter):
    def run(self, groups: list[list[Node]]) -> Graph:
        """Emits each group at the place of its first member."""
        heads = {g[0].id: g for g in groups}
        skipped = {n.id for g in groups for n in g[1:]}
        for node in self.old.nodes:
            if node.id in skipped:
                continue
            if node.id in heads:
                self._merge(heads[node.id])
                continue
            for i in node.inputs:
                if i not in self.at and self.old.values[i].role != "activation":
                    self.source(i)
            self.keep(node)
        return self.graph()

    def _merge(self, group: list[Node]) -> None:
        old = [self.old.values[n.inputs[1]] for n in group]
        sizes = tuple(_rows(v) for v in old)
        name = "+".join(n.name for n in group)
        scope = f"layers.{group[0].layer}." if group[0].layer >= 0 else ""
        spec = old[0].spec.with_shape(sum(sizes), old[0].spec.shape[1])
        w = self.value(f"{scope}{name}.weight", spec, "weight")
        blocks, ways = _blocks(old), tuple(w for v in old for w in (v.ways or v.blocks or (_rows(v),)))
        self.values[w] = replace(self.values[w], shard=old[0].shard, blocks=blocks, ways=ways)
        (out,) = self.emit(group[0], group[0].op, (self.at[group[0].inputs[0]], w), name=name)
        pieces = self.emit(group[0], Split(sizes), (out,), name=f"{name}_split")
        for node, piece in zip(group, pieces, strict=True):
            self.at[node.outputs[0]] = piece


def _rows(v: Value) -> int:
    return int(np.max(v.spec.shape[0]))


def _blocks(values: list[Value]) -> tuple[int, ...]:
    return tuple(b for v in values for b in (v.blocks or (_rows(v),)))
