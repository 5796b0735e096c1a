"""Drift checks: what the executed operators did is what their work() declares (identity N15)."""

from __future__ import annotations

from collections.abc import Callable

from simulator.models.graph import Node
from simulator.numerics.check import Check
from simulator.numerics.executor import Run
from simulator.ops.expert_exchange import ExpertCombine, ExpertDispatch
from simulator.ops.work import Attention, Gather, Work
from simulator.profiles.dtypes import format_of

Measure = Callable[[Run, Node, Work], tuple[float, float]]
ROUTED = ("low_latency", "normal")  # exchanges whose traffic follows the routing; work() declares its expectation


def drift_checks(result: Run, what: str) -> list[Check]:
    """Shapes, FLOPs, gathered bytes and wire bytes of every node, summed over the ranks."""
    flops, touched, sent = _worst(result, (_flops, _touched, _sent))
    checks = [
        Check("D2", f"{what}: matrix FLOPs counted = declared", flops, 1e-12),
        Check("D3", f"{what}: gathered bytes touched = declared", touched, 1e-12),
    ]
    if result.ranks.count == 1:
        wrong = float(_wrong_shapes(result))
        return [Check("D1", f"{what}: shapes executed = inferred (count of differing)", wrong, 0.0), *checks]
    return [*checks, Check("D4", f"{what}: wire bytes sent = declared", sent, 1e-12)]


def _wrong_shapes(result: Run) -> int:
    values, held = result.graph.values, result.values[0]
    outputs = [o for node in result.graph.nodes for o in node.outputs]
    return sum(tuple(values[o].spec.shape) != held[o].shape for o in outputs)


def _worst(result: Run, measures: tuple[Measure, ...]) -> list[float]:
    """For each measure the largest relative gap between declared and counted over the nodes."""
    worst = [0.0] * len(measures)
    works = result.graph.work()
    for node in result.graph.nodes:
        for i, measure in enumerate(measures):
            declared, counted = measure(result, node, works[node.template])
            scale = max(abs(declared), abs(counted))
            if scale > 0:
                worst[i] = max(worst[i], abs(declared - counted) / scale)
    return worst


def _flops(result: Run, node: Node, work: Work) -> tuple[float, float]:
    return result.ranks.count * float(work.flops()), result.counts[node.id].flops


def _touched(result: Run, node: Node, work: Work) -> tuple[float, float]:
    declared = sum(float(t.bytes_read()) for t in work if isinstance(t, Gather))
    declared += sum(float(t.kv_bytes()) for t in work if isinstance(t, Attention) and t.selected)
    values = result.graph.values
    counted = result.counts[node.id].touched.items()
    touched = sum(n * format_of(values[node.inputs[position]].spec.dtype).bytes for position, n in counted)
    return result.ranks.count * declared, touched


def _sent(result: Run, node: Node, work: Work) -> tuple[float, float]:
    if isinstance(node.op, ExpertDispatch | ExpertCombine) and node.op.mode in ROUTED:
        return 0.0, 0.0
    return result.ranks.count * float(work.wire_bytes()), float(result.counts[node.id].sent)
