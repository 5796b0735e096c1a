"""simulate(scenario) -> Result: the composition of all rooms for one deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from simulator.models.graph import Graph, Node
from simulator.profiles.errors import fail
from simulator.profiles.scenario import Decode, Prefill
from simulator.replay.batched import replay
from simulator.replay.program import PS_PER_SECOND
from simulator.replay.timeline import Timeline
from simulator.study.deployment import Deployment, deploy
from simulator.study.error_band import band_pct, combined_band_pct, device_fidelity
from simulator.study.memory_use import memory_use
from simulator.study.node_cost import FIDELITIES, Machine, NodeCost
from simulator.study.result import MemoryUse, OperatorResult, PhaseResult, Result
from simulator.study.step import Step, formats_of, run_step, step_energy


def simulate(name: str, overrides: Mapping[str, str] | None = None) -> Result:
    """Simulate the scenario ``name`` (bundled or a path); ``overrides`` maps dotted paths to values.

    ProfileError: bad input. A deployment that does not fit in memory is simulated all the same and says so.
    """
    return simulate_deployment(deploy(name, overrides))


def simulate_deployment(deployment: Deployment) -> Result:
    """Simulate a resolved deployment."""
    scenario = deployment.scenario
    machine = Machine(deployment.device, deployment.system, deployment.runtime.name)
    wanted: dict[str, Prefill | Decode | None] = {"prefill": scenario.phases.prefill, "decode": scenario.phases.decode}
    phases = {name: phase_result(deployment, phase, machine) for name, phase in wanted.items() if phase is not None}
    formats = formats_of(deployment)
    return Result(
        scenario=scenario.name,
        device=deployment.device.name,
        system=deployment.system.name,
        model=deployment.model.name,
        num_devices=deployment.num_devices,
        ranks=scenario.num_devices,
        runtime=deployment.runtime.name,
        layout={k: v for k, v in asdict(scenario.parallel).items() if k != "redundant_experts"},
        formats=asdict(formats),
        phases=phases,
        usd_per_device_hour=deployment.usd_per_device_hour,
        cost_basis=deployment.prices.name,
        power_limit_w=deployment.device.power.tdp,
        notes=_notes(deployment, phases),
        estimated_figures=deployment.estimated_figures(),
        config=asdict(scenario),
    )


def phase_result(deployment: Deployment, phase: Prefill | Decode, machine: Machine) -> PhaseResult:
    """One phase of a deployment, costed, replayed and accounted."""
    step = run_step(deployment, phase, machine=machine)
    timeline = replay(step.program, step.durations_ps)
    operators = operator_results(step, deployment)
    layout = deployment.scenario.layout(phase)
    accepted = deployment.scenario.speculative.acceptance_length if deployment.scenario.speculative else 1.0
    requests = phase.batch * layout.dp
    tokens = requests * accepted if isinstance(phase, Decode) else float(phase.tokens * layout.dp)
    seconds = float(step.seconds)
    parts = [o for o in operators if o.total_seconds > 0]
    roof = sum(float(np.asarray(c.roofline)) * step.counts[t] for t, c in step.costs.items())
    return PhaseResult(
        phase=step.phase,
        requests=requests,
        tokens=tokens,
        context=float(np.asarray(step.shape.kv_len)),
        seconds=seconds,
        operators=operators,
        energy=step_energy(step, deployment.device, deployment.ranks_per_device),
        exposed=exposed_by_stage(step.graph, timeline, float(np.asarray(step.host_seconds))),
        bound=_dominant(parts),
        fidelity=max((o.fidelity for o in parts), key=FIDELITIES.index, default="calibrated"),
        band_pct=combined_band_pct([(o.band_pct, o.total_seconds, o.family) for o in parts], deployment.device.vendor),
        memory=memory_use(deployment, phase, step),
        graph=step.graph,
        program=step.program,
        timeline=timeline,
        roofline_seconds=roof,
        costs=step.costs,
    )


def operator_results(step: Step, deployment: Deployment) -> tuple[OperatorResult, ...]:
    """One record per template that takes time, in graph order."""
    found = []
    power = deployment.device.power
    headroom = power.tdp - power.idle
    share = 1.0 / deployment.ranks_per_device
    for template, node in step.graph.templates().items():
        cost = step.costs[template]
        seconds = float(np.asarray(cost.cost.seconds))
        if seconds > 0:
            joules = power.active_share * headroom * share * seconds
            found.append(_operator(node, cost, step.counts[template], joules, deployment))
    return tuple(found)


def _operator(node: Node, cost: NodeCost, count: int, joules: float, deployment: Deployment) -> OperatorResult:
    seconds = float(np.asarray(cost.cost.seconds))
    device, power = deployment.device, deployment.device.power
    hbm = float(np.asarray(cost.cost.bytes.get("hbm", 0.0)))
    moved = power.memory_share * (power.tdp - power.idle) * hbm / device.memory.bandwidth
    busy = {unit: float(np.asarray(value)) for unit, value in cost.cost.busy.items()}
    return OperatorResult(
        name=node.name,
        stage=node.stage,
        layer_kind=node.kind,
        stream=node.stream,
        family=cost.family,
        count=count,
        seconds=seconds,
        total_seconds=seconds * count,
        bound=str(cost.cost.bound()),
        flops=float(np.asarray(cost.work.flops())) * count,
        hbm_bytes=hbm * count,
        wire_bytes=float(np.asarray(cost.cost.bytes.get("wire", 0.0))) * count,
        joules=(joules + moved) * count,
        kernel=cost.kernel,
        fidelity=max(cost.fidelity, device_fidelity(device), key=FIDELITIES.index),
        band_pct=band_pct(cost.family, device, cost.fidelity, seconds),
        busy=busy,
    )


def exposed_by_stage(graph: Graph, timeline: Timeline, host_seconds: float) -> dict[str, float]:
    """Seconds of the critical path by stage; they add up to the step time. "host": work outside the device timeline."""
    stages: dict[str, float] = {}
    program = timeline.program
    for i in timeline.critical_path():
        origin = program.origin[i]
        stage = graph.nodes[origin].stage if origin >= 0 else program.categories[i]
        elapsed = float(timeline.finish_ps[i] - timeline.start_ps[i]) / PS_PER_SECOND
        stages[stage] = stages.get(stage, 0.0) + elapsed
    if host_seconds > 0:
        stages["host"] = host_seconds
    return stages


def _dominant(operators: list[OperatorResult]) -> str:
    """Unit that binds for most of the operator time, with the stage where most of that is spent."""
    if not operators:
        return "none"
    units: dict[str, float] = {}
    for o in operators:
        units[o.bound] = units.get(o.bound, 0.0) + o.total_seconds
    unit = max(units, key=lambda u: units[u])
    stages: dict[str, float] = {}
    for o in operators:
        if o.bound == unit:
            stages[o.stage] = stages.get(o.stage, 0.0) + o.total_seconds
    share = units[unit] / sum(units.values())
    return f"{unit} {share:.0%} ({max(stages, key=lambda s: stages[s])})"


def require_fit(result: Result) -> None:
    """ProfileError if a phase of ``result`` does not fit in memory; says how many devices would."""
    for name, phase in result.phases.items():
        if not phase.memory.fits:
            raise fail(
                f"scenario {result.scenario}", 0, name, "the model does not fit in device memory",
                f"{phase.memory.total / 1e9:.1f} GB a rank", _memory_advice(phase.memory),
            )  # fmt: skip


def _memory_advice(memory: MemoryUse) -> str:
    need = memory.smallest_num_devices
    where = f"it fits from {need} devices on" if need else "it fits no deployment of this system"
    return f"{memory.capacity / 1e9:.1f} GB; {where}, or use --ignore-memory"


def _notes(deployment: Deployment, phases: Mapping[str, PhaseResult]) -> tuple[str, ...]:
    notes = []
    for name, phase in phases.items():
        if not phase.memory.fits:
            need = phase.memory.smallest_num_devices
            where = f"needs {need} devices" if need else "does not fit any deployment of this system"
            notes.append(
                f"{name}: {phase.memory.total / 1e9:.1f} GB a rank exceed {phase.memory.capacity / 1e9:.1f} GB; {where}"
            )
    if deployment.usd_per_device_hour is None:
        notes.append(f"no price for {deployment.device.name} on the basis {deployment.prices.name}")
    if deployment.changed:
        notes.append("changed: " + ", ".join(deployment.changed))
    return tuple(notes)
