"""Fusion: neighbouring vector operators become one kernel, projections of one activation become one product.

Before: one node per operator. After: one Fused node per group (operations kept; traffic of intermediates and launches
dropped), one Linear over stacked weights per merged group. Which fusions apply is the runtime's choice, by name.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from simulator.models.graph import Graph, Node
from simulator.ops.fused import Fused, Step
from simulator.passes.in_place import write_in_place
from simulator.passes.merge import merge_projections
from simulator.passes.rewrite import Rewriter

STRIDED_OUTPUTS = "strided_outputs"
VIEWS = frozenset(("Reshape", "Split", "Transpose", "Slice", "Expand"))


@dataclass(frozen=True, slots=True)
class Fusion:
    """A kernel that joins connected operators of the given classes.

    parts: restricts to nodes of these parts (() = any). siblings: groups of one layer and stage with no path between
    them share one kernel (queries and keys rotated together).
    """

    name: str
    classes: tuple[str, ...]
    parts: tuple[str, ...] = ()
    siblings: bool = False


FUSIONS: dict[str, Fusion] = {
    f.name: f
    for f in (
        Fusion("kv_rmsnorm_rope_cache", ("RMSNorm", "Rope", "Concat", "CacheAppend"), ("cache",)),
        Fusion("index_rope_quantize", ("LayerNorm", "Rope", "Hadamard", "Quantize", "CacheAppend"), ("index_vector",)),
        Fusion("qk_norm_rope", ("RMSNorm", "Rope"), ("rope",), siblings=True),
        Fusion("rope_cache", ("RMSNorm", "Rope", "CacheAppend"), ("rope", "cache"), siblings=True),
        Fusion("rope", ("Rope",), ("rope", "cache"), siblings=True),
        Fusion("cache_append", ("CacheAppend",), ("cache",), siblings=True),
        Fusion("rmsnorm_quantize", ("RMSNorm", "AddRMSNorm", "Quantize")),
        Fusion("silu_mul_quantize", ("SiluMul", "Quantize")),
        Fusion("gate_mul_quantize", ("SigmoidMul", "Quantize")),
    )
}
MERGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "merge_qkv_a": (("q_a", "kv_a"),),
    "merge_index": (("q_a", "kv_a", "index_k"),),
}


def fuse(graph: Graph, names: tuple[str, ...]) -> Graph:
    """``graph`` with the named fusions, in the given order. ValueError lists the known names."""
    for name in names:
        if name in MERGES:
            graph = merge_projections(graph, MERGES[name])
        elif name == STRIDED_OUTPUTS:
            graph = write_in_place(graph)
        elif name in FUSIONS:
            graph = _apply(graph, FUSIONS[name])
        else:
            known = ", ".join(sorted((*FUSIONS, *MERGES, STRIDED_OUTPUTS)))
            raise ValueError(f"unknown fusion {name!r}; known: {known}")
    return graph


def _apply(graph: Graph, fusion: Fusion) -> Graph:
    groups = [g for g in _groups(graph, fusion) if len([n for n in g if type(n.op).__name__ not in VIEWS]) > 1]
    return _Joining(graph, fusion.name).run(groups) if groups else graph


def _groups(graph: Graph, fusion: Fusion) -> list[list[Node]]:
    """Connected members, as lists of nodes in order."""
    made = {o: n for n in graph.nodes for o in n.outputs}
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for node in graph.nodes:
        if not _member(node, fusion):
            continue
        parent[node.id] = node.id
        for i in node.inputs:
            source = made.get(i)
            if source is not None and source.id in parent and source.layer == node.layer and not _starts(node):
                parent[root(source.id)] = root(node.id)
    found: dict[int, list[Node]] = {}
    for i in parent:
        found.setdefault(root(i), []).append(graph.nodes[i])
    groups = [_trimmed(g) for g in found.values()]
    groups = [g for g in groups if g]
    return _with_siblings(graph, groups) if fusion.siblings else groups


def _member(node: Node, fusion: Fusion) -> bool:
    kind = type(node.op).__name__
    if fusion.parts and node.part not in fusion.parts:
        return False
    return kind in fusion.classes or (kind in VIEWS and len(node.outputs) == 1)


def _starts(node: Node) -> bool:
    """Norms read the residual stream, which every earlier norm also wrote: they begin a group, they never extend
    one.
    """
    return type(node.op).__name__ in ("RMSNorm", "AddRMSNorm", "LayerNorm")


def _trimmed(group: list[Node]) -> list[Node]:
    """Views at the edge of a group stay outside."""
    group = list(group)
    while True:
        read = {i for n in group for i in n.inputs}
        made = {o for n in group for o in n.outputs}
        loose = [
            n
            for n in group
            if type(n.op).__name__ in VIEWS and (not read.intersection(n.outputs) or not made.intersection(n.inputs))
        ]
        if not loose:
            return group
        group = [n for n in group if n not in loose]


def _with_siblings(graph: Graph, groups: list[list[Node]]) -> list[list[Node]]:
    joined: list[list[Node]] = []
    for group in groups:
        for other in joined:
            same = (other[0].layer, other[0].stage) == (group[0].layer, group[0].stage)
            if same and not _path(graph, other, group) and not _path(graph, group, other):
                other.extend(group)
                break
        else:
            joined.append(list(group))
    return joined


def _path(graph: Graph, start: list[Node], goal: list[Node]) -> bool:
    """Whether a result of ``start`` reaches an input of ``goal``."""
    reached = {o for n in start for o in n.outputs}
    first, last = min(n.id for n in start), max(n.id for n in goal)
    ids = {n.id for n in goal}
    for node in graph.nodes[first : last + 1]:
        if reached.intersection(node.inputs):
            if node.id in ids:
                return True
            reached.update(node.outputs)
    return False


class _Joining(Rewriter):
    def __init__(self, graph: Graph, name: str) -> None:
        super().__init__(graph)
        self.name = name
        self.outside: dict[int, set[int]] = {}

    def run(self, groups: list[list[Node]]) -> Graph:
        """Emits groups as one node each, everything in a stable topological order."""
        unit: dict[int, int] = {n.id: n.id for n in self.old.nodes}
        members: dict[int, list[Node]] = {}
        for group in groups:
            group.sort(key=lambda n: n.id)
            members[group[-1].id] = group
            unit |= {n.id: group[-1].id for n in group}
        order = _order(self.old, unit)
        if order is None:
            raise ValueError(f"fusion {self.name!r} would join operators around one that needs a result in between")
        for i in order:
            for v in {v for n in members.get(i, [self.old.nodes[i]]) for v in n.inputs}:
                if v not in self.at and self.old.values[v].role != "activation":
                    self.source(v)
            if i in members:
                self._join(members[i])
            else:
                self.keep(self.old.nodes[i])
        return self.graph()

    def _join(self, group: list[Node]) -> None:
        made = [o for n in group for o in n.outputs]
        inputs = list(dict.fromkeys(i for n in group for i in n.inputs if i not in made))
        place = {v: i for i, v in enumerate((*inputs, *made))}
        needed = self._needed(group)
        steps = tuple(Step(n.op, tuple(place[i] for i in n.inputs), len(n.outputs)) for n in group)
        leaving = [o for o in made if o in needed]
        op = Fused(self.name, len(inputs), steps, tuple(place[o] for o in leaving))
        last = group[-1]
        like = replace(last, outputs=tuple(leaving), stage=group[0].stage)
        specs = tuple(self.old.values[o].spec for o in leaving)  # joining changes no value
        outputs = self.append(like, op, tuple(self.at[i] for i in inputs), specs)
        self.at.update(zip(leaving, outputs, strict=True))

    def _needed(self, group: list[Node]) -> set[int]:
        """Values of a group that someone outside reads."""
        ids = {n.id for n in group}
        read = {i for n in self.old.nodes if n.id not in ids for i in n.inputs}
        read.update(self.old.outputs)
        for body in self.old.bodies:
            read.update(body.carry_out)
        return read


def _order(graph: Graph, unit: dict[int, int]) -> list[int] | None:
    """Units in topological order, earliest node first; None if joining made a cycle."""
    made = {o: unit[n.id] for n in graph.nodes for o in n.outputs}
    needs: dict[int, set[int]] = {u: set() for u in unit.values()}
    for n in graph.nodes:
        needs[unit[n.id]].update(made[i] for i in n.inputs if i in made and made[i] != unit[n.id])
    waiting: dict[int, list[int]] = {}
    for u, before in needs.items():
        for b in before:
            waiting.setdefault(b, []).append(u)
    first: dict[int, int] = {}
    for i in sorted(unit):
        first.setdefault(unit[i], i)
    left = {u: len(b) for u, b in needs.items()}
    ready = [(first[u], u) for u, count in left.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        _, u = heapq.heappop(ready)
        order.append(u)
        for v in waiting.get(u, []):
            left[v] -= 1
            if not left[v]:
                heapq.heappush(ready, (first[v], v))
    return order if len(order) == len(needs) else None
