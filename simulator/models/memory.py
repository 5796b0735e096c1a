"""What one rank must hold: weights, caches, activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from simulator.models.build import describe
from simulator.models.formats import Formats, native
from simulator.models.graph import Graph, Node, Value
from simulator.models.layout import Layout, resolve
from simulator.models.options import Options
from simulator.models.parameters import layer_of, stops_growing, tokens_per_entry
from simulator.models.step import StepShape
from simulator.ops.fused import Fused
from simulator.ops.gated_delta import GatedDeltaRule
from simulator.ops.kv_cache import CacheAppend
from simulator.ops.rolling_state import RollingState
from simulator.ops.short_conv import ShortConv
from simulator.ops.state_space import StateSpaceScan
from simulator.ops.tensor import Number
from simulator.passes.formats import formats as formats_pass
from simulator.passes.pipeline import stage_of
from simulator.passes.shard import shard
from simulator.profiles.model import Model


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest rank.

    weights: by part (attention, experts, embedding ...). cache_per_token: growth of all caches per token of one
    request.
    cache_per_request: windows and recurrent states, once per request. activations: peak of live intermediate results
    of the step it was asked for.
    """

    weights: Mapping[str, float]
    cache_per_token: float
    cache_per_request: float
    activations: float

    @property
    def weight_bytes(self) -> float:
        """All weights."""
        return sum(self.weights.values())

    def total(self, requests: Number, context: Number) -> Number:
        """Bytes with ``requests`` requests of ``context`` tokens on the rank."""
        caches = requests * (self.cache_per_token * context + self.cache_per_request)
        return self.weight_bytes + self.activations + caches

    def fits(self, capacity: float, requests: float, context: float) -> bool:
        """Whether all of it is within ``capacity`` bytes."""
        return bool(self.total(requests, context) <= capacity)

    def cache_tokens(self, capacity: float, requests: float = 0.0) -> float:
        """Tokens of cache that fit beside weights and activations (0 if those alone do not fit)."""
        room = capacity - self.weight_bytes - self.activations - requests * self.cache_per_request
        return max(room, 0.0) / self.cache_per_token if self.cache_per_token else float("inf")


def memory(
    model: Model,
    layout: Layout | None = None,
    choice: Formats | None = None,
    step: StepShape | None = None,
    *,
    drafts: int = 0,
) -> Memory:
    """Memory of one rank of ``layout``. step: shape whose activations count (none: a one-token decode). drafts > 0
    adds the multi-token-prediction modules."""
    plan = resolve(layout or Layout(), model)
    modules = min(drafts, model.mtp.layers) if model.mtp else 0
    held = _held(model, plan, choice or native(model), modules)
    if step is None:
        return held
    return replace(
        held, activations=activations(shard(formats_pass(describe(model, step), choice or native(model)), plan))
    )


def activations(graph: Graph) -> float:
    """Peak bytes of live activations when a graph (folded or not) runs in order, each value freed after its last reader."""
    last: dict[int, int] = {}
    stored = {o for n in graph.nodes for o in _in_place(n)}
    for n in graph.nodes:
        for v in (*n.inputs, *n.outputs):
            last[v] = n.id
    live = peak = 0.0
    for n in graph.nodes:
        for o in n.outputs:
            live += 0.0 if o in stored or _is_view(n.op) else _bytes(graph.values[o])
        peak = max(peak, live)
        for v in {*n.inputs, *n.outputs}:
            if last[v] == n.id and graph.values[v].role == "activation" and v not in stored:
                live -= 0.0 if _made_by_view(graph, v) else _bytes(graph.values[v])
    return peak


@lru_cache(maxsize=256)
def _held(model: Model, layout: Layout, choice: Formats, modules: int) -> Memory:
    options = Options(mtp_passes=modules)
    graph = shard(_described(model, choice, options), layout)
    part = {i: n.part for n in reversed(graph.nodes) for i in n.inputs}
    stages: list[dict[str, float]] = [{} for _ in range(layout.pp)]
    tokens, requests = [0.0] * layout.pp, [0.0] * layout.pp
    members = {b.layer: b.layers for b in graph.bodies}
    for v in graph.values:
        if v.role not in ("weight", "cache"):
            continue
        for stage in _stages(v, members, model, layout):
            if v.role == "weight":
                name = part.get(v.id, "")
                stages[stage][name] = stages[stage].get(name, 0.0) + _bytes(v)
            elif stops_growing(v, model):
                requests[stage] += _bytes_per_request(v, model)
            else:
                tokens[stage] += _row(v) / tokens_per_entry(v)
    fullest = int(np.argmax([sum(s.values()) for s in stages]))
    return Memory(stages[fullest], max(tokens) / layout.dcp, max(requests), 0.0)


@lru_cache(maxsize=32)
def _described(model: Model, choice: Formats, options: Options) -> Graph:
    """A decode step of one token in its formats, before it is cut."""
    return formats_pass(describe(model, StepShape("decode", 1, 1, 2), options), choice)


def _stages(v: Value, members: Mapping[int, tuple[int, ...]], model: Model, layout: Layout) -> list[int]:
    """Stages that hold a value, one entry per layer that has its own copy."""
    layer = layer_of(v)
    if layer in members:
        return [stage_of(i, model.num_layers, layout.pp) for i in members[layer]]
    first = v.name.startswith(("embedding", "positions", "embed_norm"))
    if model.tie_embeddings and v.name.startswith("embedding") and layout.pp > 1:
        return [0, layout.pp - 1]
    return [0 if first else layout.pp - 1]


def _row(v: Value) -> float:
    return float(v.spec.with_shape(1, 1, *v.spec.shape[2:]).nbytes)


def _bytes_per_request(v: Value, model: Model) -> float:
    tail = v.name.rsplit(".", 1)[-1]
    if "_state@" in tail:  # pooling waits for at most two groups of tokens where groups overlap, else one
        ratio = tokens_per_entry(v)
        overlap = model.compressed is not None and ratio == model.compressed.csa_ratio
        return _row(v) * ratio * (2 if overlap else 1)
    if "state" in tail:
        return float(v.spec.with_shape(1, *v.spec.shape[1:]).nbytes)
    window = model.compressed.window if tail.startswith("window") and model.compressed else 0
    return _row(v) * (window or (model.gqa.window if model.gqa else 0))


def _bytes(v: Value) -> float:
    size = v.spec.nbytes
    return float(size) if isinstance(size, float) else float(np.max(size))


def _in_place(n: Node) -> tuple[int, ...]:
    """Outputs that live in the caches, not in the workspace."""
    if isinstance(n.op, CacheAppend):
        return n.outputs
    if isinstance(n.op, Fused):
        return tuple(o for o, op in zip(n.outputs, n.op.makers(), strict=True) if isinstance(op, CacheAppend))
    return n.outputs[1:] if isinstance(n.op, ShortConv | GatedDeltaRule | StateSpaceScan | RollingState) else ()


def _is_view(op: object) -> bool:
    return type(op).__name__ in ("Reshape", "Split", "Slice", "Transpose", "Expand")


def _made_by_view(graph: Graph, v: int) -> bool:
    producer = _producers(graph).get(v)
    return producer is not None and _is_view(producer)


@lru_cache(maxsize=4)
def _producers(graph: Graph) -> dict[int, object]:
    return {o: n.op for n in graph.nodes for o in n.outputs}
