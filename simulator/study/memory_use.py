"""What one rank of a deployment holds, whether it fits, and the fewest devices that would."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from simulator.models.formats import Formats
from simulator.models.layout import Layout
from simulator.models.memory import Memory, memory, smallest_fit
from simulator.models.step import StepShape
from simulator.ops.tensor import Number
from simulator.profiles.errors import fail
from simulator.profiles.model import Model
from simulator.profiles.scenario import Decode, Prefill
from simulator.study.deployment import Deployment
from simulator.study.result import MemoryUse
from simulator.study.step import Step, formats_of, layout_of, shape_of

UTILIZATION = 0.92
"""Share of device memory an engine hands out: serving stacks keep the rest for contexts, graphs and communication buffers."""


def usable_bytes(deployment: Deployment) -> float:
    """Memory of one rank that an engine can use."""
    share = deployment.scenario.serving.device_memory_utilization if deployment.scenario.serving else UTILIZATION
    return deployment.device.memory.capacity / deployment.ranks_per_device * share


def held(deployment: Deployment, phase: Prefill | Decode, shape: StepShape) -> Memory:
    """Memory of one rank in ``phase``. ProfileError: the layout does not fit the model."""
    speculative = deployment.scenario.speculative
    drafts = speculative.num_speculative_tokens if speculative else 0
    layout = layout_of(deployment.scenario.layout(phase))
    try:
        sizes = (shape.batch, shape.q_len, shape.kv_len)
        if all(isinstance(s, int) for s in sizes):
            return _memory(deployment.model, layout, formats_of(deployment), shape.phase, *sizes, drafts)  # type: ignore[arg-type]
        return memory(deployment.model, layout, formats_of(deployment), shape, drafts=drafts)
    except ValueError as error:
        raise fail(f"scenario {deployment.scenario.name}", 0, "parallel", str(error)) from None


@lru_cache(maxsize=64)
def _memory(
    model: Model,
    layout: Layout,
    formats: Formats,
    phase: Literal["prefill", "decode"],
    batch: int,
    q_len: int,
    kv_len: int,
    drafts: int,
) -> Memory:
    return memory(model, layout, formats, StepShape(phase, batch, q_len, kv_len), drafts=drafts)


def rank_bytes(deployment: Deployment, phase: Prefill | Decode, step: Step) -> Number:
    """Bytes one rank needs (one value per scenario of the step)."""
    return held(deployment, phase, step.shape).total(np.asarray(step.shape.batch), np.asarray(step.shape.kv_len))


def fits(deployment: Deployment) -> bool:
    """Whether every phase of the deployment fits in memory; nothing is costed."""
    capacity = usable_bytes(deployment)
    for phase in (deployment.scenario.phases.prefill, deployment.scenario.phases.decode):
        if phase is not None:
            shape = shape_of(deployment, phase)
            requests, context = float(np.asarray(shape.batch)), float(np.asarray(shape.kv_len))
            if not held(deployment, phase, shape).fits(capacity, requests, context):
                return False
    return True


def memory_use(deployment: Deployment, phase: Prefill | Decode, step: Step) -> MemoryUse:
    """The memory record of one phase."""
    here = held(deployment, phase, step.shape)
    requests, context = float(np.asarray(step.shape.batch)), float(np.asarray(step.shape.kv_len))
    cache = requests * (here.cache_per_token * context + here.cache_per_request)
    names = {"experts": "expert_weights"}
    parts = {"other_weights": 0.0, "expert_weights": 0.0}
    for part, size in here.weights.items():
        parts[names.get(part, "other_weights")] += size
    parts |= {"kv_cache": cache, "activations": here.activations}
    capacity = usable_bytes(deployment)
    if sum(parts.values()) <= capacity:
        return MemoryUse(parts, capacity, deployment.num_devices)
    total = round(requests * deployment.scenario.layout(phase).dp)
    layout = smallest_fit(
        deployment.model,
        capacity - here.activations,
        total,
        round(context),
        formats_of(deployment),
        limit=deployment.system.max_devices * deployment.ranks_per_device,
    )
    ranks = layout.devices if layout else None
    return MemoryUse(parts, capacity, -(-ranks // deployment.ranks_per_device) if ranks else None)
