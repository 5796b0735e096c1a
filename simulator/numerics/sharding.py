"""Sharding checks: four simulated ranks compute what one computes, and move the bytes they declare (N6 to N9)."""

from __future__ import annotations

import numpy as np

from simulator.models.graph import Node
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.numerics.check import Check, worst
from simulator.numerics.drift import drift_checks
from simulator.numerics.executor import Run
from simulator.numerics.trial import decode, logits, prefill, run
from simulator.ops.expert_exchange import ExpertDispatch
from simulator.ops.op import Array
from simulator.profiles.dtypes import format_of
from simulator.profiles.model import Model

BOUND = 1e-12

DENSE_LAYOUTS = (Layout(tp=4), Layout(tp=4, sequence_parallel=True), Layout(tp=2, dp=2))
EXPERT_LAYOUTS = (
    Layout(tp=4, ep=4),
    Layout(tp=4, ep=2),
    Layout(dp=4, ep=4),
    Layout(dp=4, ep=4, redundant_experts=4),
    Layout(tp=2, dp=2, ep=4),
    Layout(tp=2, dp=2, ep=2),
)


def sharding_checks(model: Model) -> list[Check]:
    """Every layout on four ranks against one device, prefill and decode."""
    layouts = DENSE_LAYOUTS + (EXPERT_LAYOUTS if model.moe else ())
    checks = []
    for step in (prefill(8), decode(13)):
        expected = logits(run(model, step))
        for layout in layouts:
            checks += _layout_checks(model, step, layout, expected)
    return checks


def label(layout: Layout) -> str:
    """Layout as users write it: tp4, dp4 ep4 +4 replicas ..."""
    sizes = [f"{name}{n}" for name, n in (("tp", layout.tp), ("dp", layout.dp), ("ep", layout.ep)) if n > 1]
    sizes += ["sequence parallel"] if layout.sequence_parallel else []
    sizes += [f"{layout.redundant_experts} replicas"] if layout.redundant_experts else []
    return " ".join(sizes)


def _layout_checks(model: Model, step: StepShape, layout: Layout, expected: list[Array]) -> list[Check]:
    what = f"{model.name} {step.phase} on {label(layout)}"
    result = run(model, step, layout)
    number = "N9" if layout.redundant_experts else "N6" if layout.ep > 1 else "N8"
    checks = [Check(number, f"{what} = one device", worst(logits(result), expected), BOUND)]
    checks += drift_checks(result, what)
    if layout.ep > 1:
        checks += exchange_checks(result, what)
    return checks


def exchange_checks(result: Run, what: str) -> list[Check]:
    """N7: bytes sent by dispatch = bytes recounted from the routing: a copy per (token, expert) or (token, rank)."""
    gaps = []
    for node in result.graph.nodes:
        if isinstance(node.op, ExpertDispatch) and node.op.mode in ("low_latency", "normal") and node.op.ranks > 1:
            recounted = sum(_recount(result, node, node.op, rank) for rank in range(result.ranks.count))
            gaps.append(abs(recounted - result.counts[node.id].sent))
    return [Check("N7", f"{what}: dispatch bytes = recount from the routing (bytes)", max(gaps), 0.0)] if gaps else []


def _recount(result: Run, node: Node, op: ExpertDispatch, rank: int) -> float:
    """Bytes one rank sends to other ranks of its expert group inside one node."""
    held = result.values[rank]
    x, experts = held[node.inputs[0]], held[node.inputs[1]]
    slots = np.asarray(op.placement or range(op.experts))
    copies = 0
    for token, chosen in enumerate(experts):
        owners = []
        for e in chosen:
            homes = np.flatnonzero(slots == e)
            owners.append(int(homes[token % len(homes)]) // op.local_experts)
        away = [o for o in owners if o != result.ranks.position(rank, op.group)]
        copies += len(away) if op.mode == "low_latency" else len(set(away))
    return copies * float(x.shape[1]) * format_of(op.dtype).bytes


def exchange_modes(model: Model) -> list[Check]:
    """N6: every way of moving tokens between experts on two nodes gives the same result."""
    if model.moe is None:
        return []
    checks = []
    for step in (prefill(8), decode(13)):
        expected = logits(run(model, step))
        for mode in ("low_latency", "normal", "all_gather"):
            options = Options(exchange=mode, ranks_per_node=2)
            found = logits(run(model, step, Layout(dp=4, ep=4), options))
            what = f"{model.name} {step.phase} on two nodes of dp4 ep4, {mode} exchange = one device"
            checks.append(Check("N6", what, worst(found, expected), BOUND))
    return checks
