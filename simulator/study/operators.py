"""Operators of a phase: time, bytes and joules of each over every step it takes part in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulator.devices.cost import Cost
from simulator.models.graph import Node
from simulator.ops.tensor import Number
from simulator.study.chunks import Counts
from simulator.study.deployment import Deployment
from simulator.study.error_band import band_pct, device_fidelity
from simulator.study.node_cost import FIDELITIES, NodeCost
from simulator.study.result import OperatorResult
from simulator.study.step import Step

Operators = tuple[OperatorResult, ...]


def operator_results(step: Step, deployment: Deployment, times: Counts | int = 1) -> Operators:
    """One record per template that takes time, in graph order; times: how often each scenario of the step is run."""
    runs = int(np.sum(times))
    if not runs:
        return ()
    found = []
    for template, node in step.graph.templates().items():
        cost = step.costs[template]
        if np.any(np.asarray(cost.cost.seconds) > 0):
            found.append(_operator(node, cost, step, deployment, times))
    return tuple(found)


def over_steps(value: Number, times: Counts | int) -> float:
    """Sum of a figure of each scenario of a step over how often each is run."""
    if isinstance(value, float) and isinstance(times, int):
        return value * times
    return float(np.sum(np.asarray(value, dtype=np.float64) * times))


def _operator(node: Node, cost: NodeCost, step: Step, deployment: Deployment, times: Counts | int) -> OperatorResult:
    def total(value: Number) -> float:
        return over_steps(value, times)

    device, power, runs = deployment.device, deployment.device.power, int(np.sum(times))
    count, seconds = step.counts[node.template], total(cost.cost.seconds)
    hbm = total(cost.cost.bytes.get("hbm", 0.0))
    headroom = power.tdp - power.idle
    joules = power.active_share * headroom * (1.0 / deployment.ranks_per_device) * seconds
    moved = power.memory_share * headroom * hbm / device.memory.bandwidth
    busy = {unit: total(value) / runs for unit, value in cost.cost.busy.items()}
    return OperatorResult(
        name=node.name,
        stage=node.stage,
        layer_kind=node.kind,
        stream=node.stream,
        family=cost.family,
        count=count * runs,
        seconds=seconds / runs,
        total_seconds=seconds * count,
        bound=str(Cost(seconds, busy).bound()),
        flops=total(cost.work.flops()) * count,
        hbm_bytes=hbm * count,
        wire_bytes=total(cost.cost.bytes.get("wire", 0.0)) * count,
        joules=(joules + moved) * count * float(np.mean(step.passes)),
        kernel=cost.kernel,
        fidelity=max(cost.fidelity, device_fidelity(cost.family, device), key=FIDELITIES.index),
        band_pct=band_pct(cost.family, device, cost.fidelity, seconds / runs),
        busy=busy,
    )


def merged(parts: Sequence[Operators]) -> Operators:
    """Operators of several forms of one step as one list; those of equal name and place are added up."""
    if len(parts) == 1:
        return parts[0]
    found: dict[tuple[str, str, str], OperatorResult] = {}
    for o in (o for part in parts for o in part):
        key = (o.name, o.stage, o.layer_kind)
        found[key] = _both(found[key], o) if key in found else o
    return tuple(found.values())


def _both(a: OperatorResult, b: OperatorResult) -> OperatorResult:
    count, total = a.count + b.count, a.total_seconds + b.total_seconds
    longer = a if a.total_seconds >= b.total_seconds else b
    sums = {n: getattr(a, n) + getattr(b, n) for n in ("flops", "hbm_bytes", "wire_bytes", "joules")}
    return replace(longer, count=count, seconds=total / count, total_seconds=total, **sums)
