"""What a token costs at a position: prefill of a chunk whose middle lies there, or decode with that much context."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.models.step import StepShape
from simulator.profiles.scenario import Prefill
from simulator.study.deployment import Deployment
from simulator.study.node_cost import Machine
from simulator.study.step import Step, forms_of


@dataclass(frozen=True, slots=True, eq=False)
class PositionCost:
    """seconds: device-seconds per token at each position. stages: the same by stage (overlap not subtracted)."""

    positions: np.ndarray
    seconds: np.ndarray
    stages: dict[str, np.ndarray]

    def usd_per_mtok(self, usd_per_device_hour: float) -> np.ndarray:
        """USD per million tokens at each position."""
        return self.seconds * usd_per_device_hour / 3600.0 * 1e6


def position_cost(deployment: Deployment, phase: str, positions: np.ndarray) -> PositionCost:
    """Cost of a token at ``positions`` in ``phase`` (prefill or decode) of the deployment's own step.

    Prefill: the scenario's chunk of isl new tokens per prompt, placed so that its mean position is the one asked for; each
    point takes the faster form of attention. ValueError: the scenario lacks the phase.
    """
    scenario = deployment.scenario.phases
    wanted = scenario.prefill if phase == "prefill" else scenario.decode
    if wanted is None:
        raise ValueError(f"scenario {deployment.scenario.name} has no {phase} phase")
    if isinstance(wanted, Prefill):
        chunk = min(wanted.isl - wanted.prefix_len, wanted.chunk or wanted.isl)
        kv_len = np.maximum(positions + chunk // 2, chunk).astype(np.int64)
        shape = StepShape("prefill", wanted.batch, chunk, kv_len)
        tokens = float(wanted.batch * chunk)
        at = kv_len - chunk / 2
    else:
        drafts = deployment.scenario.drafts
        shape = StepShape("decode", wanted.batch, 1 + drafts, positions.astype(np.int64) + drafts)
        tokens = wanted.batch * deployment.scenario.kept
        at = positions.astype(np.float64)
    machine = Machine(deployment.device, deployment.system, deployment.runtime.name)
    layout = deployment.scenario.layout(wanted)
    ranks = layout.tp * layout.pp * layout.cp  # ranks that share the tokens of one attention replica
    forms = forms_of(deployment, wanted, shape, machine)
    best = np.argmin(np.stack(np.broadcast_arrays(*[np.asarray(s.seconds) for s in forms])), axis=0)
    pick = [_by_stage(s, len(positions)) for s in forms]
    stages = {k: np.choose(best, [p.get(k, np.zeros(len(positions))) for p in pick]) * ranks / tokens for k in pick[0]}
    seconds = np.choose(best, [np.broadcast_to(s.seconds, best.shape) for s in forms]) * ranks / tokens
    return PositionCost(at, seconds, stages)


def _by_stage(step: Step, points: int) -> dict[str, np.ndarray]:
    totals: dict[str, np.ndarray] = {}
    for template, node in step.graph.templates().items():
        spent = np.broadcast_to(np.asarray(step.costs[template].cost.seconds, dtype=np.float64), (points,))
        totals[node.stage] = totals.get(node.stage, np.zeros(points)) + spent * step.counts[template]
    totals["host"] = np.broadcast_to(np.asarray(step.host_seconds, dtype=np.float64), (points,))
    return totals
