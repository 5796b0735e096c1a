"""Two micro-batches whose expert exchange hides behind the other's compute.

Before: the graph of one micro-batch (half of the tokens), layers unrolled. After: both micro-batches, issued in the
order DeepSeek describes; streams run in order, so the order of nodes is the schedule. Weights are shared, caches are
each batch's own.
Source: DeepSeek open-infra-index day 6 (figures of prefill and decode overlap); operators.md f.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from simulator.models.graph import Graph, Node, Value
from simulator.models.step import StepShape, plain

# slots a layer's stages belong to
SLOTS = {
    "attention_in": "front",
    "attention_core": "core",
    "gate": "core",
    "dispatch": "dispatch",
    "experts": "experts",
    "shared": "shared",
    "ffn": "core",
    "combine": "combine",
}
OUTSIDE = ("before", "after")  # of all layers
Slot = tuple[int, int, str]


def half(step: StepShape) -> StepShape:
    """The step of one micro-batch: half of the requests, or half of the tokens of a single request.

    A prompt cut in two equal-work halves is represented by q/2 new tokens that see kv - q/4 keys (causal pairs add up
    exactly).
    """
    if step.groups:
        raise ValueError("overlap of two micro-batches cannot halve a mixed step")
    batch, q, kv = (np.asarray(v, dtype=np.float64) for v in (step.batch, step.q_len, step.kv_len))
    alone = batch < 2
    if step.phase == "decode" or not np.any(alone):
        return replace(step, batch=plain(batch / 2))
    return replace(
        step,
        batch=plain(np.where(alone, batch, batch / 2)),
        q_len=plain(np.where(alone, q / 2, q)),
        kv_len=plain(np.where(alone, kv - q / 4, kv)),
    )


def overlap(graph: Graph, phase: str) -> Graph:
    """Both micro-batches of ``graph`` in the schedule of ``phase``. ValueError if a stage has no place in it."""
    by_slot: dict[tuple[int, str], list[Node]] = {}
    first = min((n.layer for n in graph.nodes if n.layer >= 0), default=0)
    started = False
    for n in graph.nodes:
        started = started or n.layer >= first
        slot = _slot(n) if n.layer >= 0 and n.kind != "mtp" else ("after" if started else "before")
        if slot == "combine" and (n.layer, "join") in by_slot:  # a reduction after the join belongs to it
            slot = "join"
        by_slot.setdefault((-1 if slot in OUTSIDE else n.layer, slot), []).append(n)
    layers = sorted({layer for layer, _ in by_slot if layer >= 0})
    sparse = [i for i in layers if (i, "dispatch") in by_slot]
    order = _prefill(layers, sparse) if phase == "prefill" else _decode(layers, sparse)
    return _issue(graph, [s for s in order if (s[1], s[2]) in by_slot], by_slot)


def _slot(n: Node) -> str:
    if n.stage not in SLOTS:
        raise ValueError(f"node {n.name!r} has stage {n.stage!r}; two-batch overlap knows {', '.join(SLOTS)}")
    if n.stage == "combine" and n.stream == "compute":
        return "join"
    return SLOTS[n.stage]


def _alone(layers: list[int], sparse: list[int]) -> Iterator[Slot]:
    """Layers before the first exchange: one micro-batch after the other."""
    for i in (0, 1):
        yield (i, -1, "before")
    for layer in [x for x in layers if not sparse or x < sparse[0]]:
        for i in (0, 1):
            yield from _whole(i, layer)


def _whole(batch: int, layer: int) -> Iterator[Slot]:
    for slot in ("front", "core", "dispatch", "shared", "experts", "combine", "join"):
        yield (batch, layer, slot)


def _decode(layers: list[int], sparse: list[int]) -> list[Slot]:
    """[shared(0), front(1)] over dispatch(0); experts(0); core(1) over combine(0); then with the batches swapped."""
    order = list(_alone(layers, sparse))
    tail = [x for x in layers if sparse and x >= sparse[0]]
    if not tail:
        return [*order, (0, -1, "after"), (1, -1, "after")]
    order += [(0, tail[0], "front"), (0, tail[0], "core")]
    for layer, after in zip(tail, [*tail[1:], None], strict=True):
        for mine, other, target in ((0, 1, layer), (1, 0, after)):
            order += [(mine, layer, "dispatch"), (mine, layer, "shared")]
            if target is not None:
                order.append((other, target, "front"))
            order += [(mine, layer, "experts"), (mine, layer, "combine")]
            if target is not None:
                order.append((other, target, "core"))
            order.append((mine, layer, "join"))
    return [*order, (0, -1, "after"), (1, -1, "after")]


def _prefill(layers: list[int], sparse: list[int]) -> list[Slot]:
    """Attention(0) over dispatch(1); experts(1) over dispatch(0); [experts(0), shared(1)] over combine(1);
    [next attention(1), shared(0)] over combine(0)."""
    order = list(_alone(layers, sparse))
    tail = [x for x in layers if sparse and x >= sparse[0]]
    if not tail:
        return [*order, (0, -1, "after"), (1, -1, "after")]
    order += [(1, tail[0], "front"), (1, tail[0], "core")]
    for layer, after in zip(tail, [*tail[1:], None], strict=True):
        order += [(1, layer, "dispatch"), (0, layer, "front"), (0, layer, "core"), (0, layer, "dispatch")]
        order += [(1, layer, "experts"), (1, layer, "combine"), (0, layer, "experts"), (1, layer, "shared")]
        order += [(1, layer, "join"), (0, layer, "combine")]
        if after is not None:
            order += [(1, after, "front"), (1, after, "core")]
        order += [(0, layer, "shared"), (0, layer, "join")]
    return [*order, (0, -1, "after"), (1, -1, "after")]


def _issue(graph: Graph, order: list[Slot], by_slot: dict[tuple[int, str], list[Node]]) -> Graph:
    values: list[Value] = []
    shared: dict[int, int] = {}
    own: tuple[dict[int, int], dict[int, int]] = ({}, {})
    nodes: list[Node] = []
    old = graph.values

    def place(v: int, batch: int) -> int:
        value = old[v]
        at = shared if value.role == "weight" else own[batch]
        if v not in at:
            name = value.name if value.role == "weight" else f"mb{batch}.{value.name}"
            values.append(replace(value, id=len(values), name=name))
            at[v] = len(values) - 1
        return at[v]

    for batch, layer, slot in order:
        for n in by_slot[layer, slot]:
            inputs = tuple([place(i, batch) for i in n.inputs])
            outputs = tuple([place(o, batch) for o in n.outputs])
            nodes.append(replace(n, id=len(nodes), inputs=inputs, outputs=outputs, micro_batch=batch))
    inputs = tuple(place(i, b) for b in (0, 1) for i in graph.inputs)
    outputs = tuple(place(o, b) for b in (0, 1) for o in graph.outputs)
    return Graph(tuple(nodes), tuple(values), inputs, outputs, graph.parallel)
