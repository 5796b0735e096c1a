"""What one rank of a deployment holds, and whether it fits."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.memory import Memory, activations, memory
from simulator.models.step import StepShape
from simulator.ops.tensor import Number
from simulator.profiles.errors import fail
from simulator.profiles.model import Model
from simulator.profiles.scenario import Parallel, Phase, Prefill
from simulator.study.chunks import chunk_steps
from simulator.study.deployment import Deployment
from simulator.study.graphs import folded_graph_of
from simulator.study.result import MemoryUse
from simulator.study.step import formats_of, layout_of, options_of, shape_of

UTILIZATION = 0.92
"""Share of device memory an engine hands out: serving stacks keep the rest for contexts, graphs and communication buffers."""


def usable_bytes(deployment: Deployment) -> float:
    """Memory of one rank that an engine can use."""
    share = deployment.scenario.serving.device_memory_utilization if deployment.scenario.serving else UTILIZATION
    return deployment.device.memory.capacity / deployment.ranks_per_device * share


def held(deployment: Deployment, phase: Phase, shape: StepShape | None = None) -> Memory:
    """Memory of one rank in ``phase``; without ``shape`` that of an engine at rest. ProfileError: the layout does not fit
    the model."""
    drafts = deployment.scenario.drafts
    layout, model, formats = layout_of(deployment.scenario.layout(phase)), deployment.model, formats_of(deployment)
    try:
        rest = _at_rest(model, layout, formats, drafts)
        if shape is None:
            return rest
        options = replace(options_of(deployment, shape.phase, layout), overlap="none")  # both micro-batches are alive
        return replace(rest, activations=_activations(folded_graph_of(model, shape, layout, formats, options)))
    except ValueError as error:
        raise fail(f"scenario {deployment.scenario.name}", 0, "parallel", str(error)) from None


@lru_cache(maxsize=64)
def _at_rest(model: Model, layout: Layout, formats: Formats, drafts: int) -> Memory:
    return memory(model, layout, formats, drafts=drafts)


@lru_cache(maxsize=64)
def _activations(graph: Graph) -> float:
    return activations(graph)


def rank_bytes(deployment: Deployment, phase: Phase, whole: StepShape, step: StepShape) -> Number:
    """Bytes one rank needs (one value per scenario): caches of the ``whole`` phase, activations of a ``step`` of it."""
    return held(deployment, phase, step).total(np.asarray(whole.requests), np.asarray(whole.context))


def largest_step(phase: Phase, whole: StepShape) -> StepShape:
    """The step of a phase with the most activations: the whole, or its last full chunk."""
    if not isinstance(phase, Prefill) or phase.chunk is None:
        return whole
    cut = chunk_steps(phase.batch, phase.isl, phase.prefix_len, phase.chunk)
    tokens = np.asarray(cut.shape.tokens)
    last = np.flatnonzero(tokens == tokens.max())[-1]
    batch, q, kv = (int(np.asarray(v)[last]) for v in (cut.shape.batch, cut.shape.q_len, cut.shape.kv_len))
    return StepShape("prefill", batch, q, kv)


def fits(deployment: Deployment) -> bool:
    """Whether every phase of the deployment fits in memory; nothing is costed."""
    layouts = [deployment.scenario.layout(phase) for phase in deployment.scenario.phases.named().values()]
    if max(_fewest_weight_bytes(deployment, layout) for layout in layouts) > usable_bytes(deployment):
        return False
    steps = [(phase, shape_of(deployment, phase)) for phase in deployment.scenario.phases.named().values()]
    return all(_fits(deployment, phase, shape, None) for phase, shape in steps) and all(
        _fits(deployment, phase, shape, largest_step(phase, shape))
        for phase, shape in steps  # activations take a graph: asked last
    )


def _fits(deployment: Deployment, phase: Phase, shape: StepShape, running: StepShape | None) -> bool:
    requests, context = float(np.asarray(shape.requests)), float(np.asarray(shape.context))
    return held(deployment, phase, running).fits(usable_bytes(deployment), requests, context)


def _fewest_weight_bytes(deployment: Deployment, layout: Parallel) -> float:
    """Lower bound of the weights of a rank: experts cut over all ranks, everything else over tensor groups and stages."""
    whole = _at_rest(deployment.model, Layout(), formats_of(deployment), 0).weights
    experts = whole.get("experts", 0.0)
    return experts / layout.devices + (sum(whole.values()) - experts) / (layout.tp * layout.pp)


def memory_use(deployment: Deployment, phase: Phase, whole: StepShape) -> MemoryUse:
    """The memory record of one phase; ``whole``: its shape as one step."""
    here = held(deployment, phase, largest_step(phase, whole))
    requests, context = float(np.asarray(whole.requests)), float(np.asarray(whole.context))
    cache = requests * (here.cache_per_token * context + here.cache_per_request)
    names = {"experts": "expert_weights"}
    parts = {"other_weights": 0.0, "expert_weights": 0.0}
    for part, size in here.weights.items():
        parts[names.get(part, "other_weights")] += size
    parts |= {"kv_cache": cache, "activations": here.activations}
    return MemoryUse(parts, usable_bytes(deployment))
