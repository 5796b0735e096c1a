"""simulate(scenario) -> Result: the composition of all rooms for one deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from simulator.economics.energy import Energy
from simulator.models.graph import Graph
from simulator.profiles.errors import fail
from simulator.profiles.scenario import Decode, Mixed, Phase, Prefill
from simulator.replay.batched import replay
from simulator.replay.program import PS_PER_SECOND
from simulator.replay.timeline import Timeline
from simulator.study.deployment import Deployment, deploy
from simulator.study.error_band import combined_band_pct
from simulator.study.expert_use import expert_use
from simulator.study.memory_use import memory_use
from simulator.study.node_cost import FIDELITIES, Machine
from simulator.study.operators import merged, operator_results, over_steps
from simulator.study.phase_steps import PhaseSteps, steps_of
from simulator.study.result import MemoryUse, OperatorResult, PhaseResult, Result
from simulator.study.retarget import smallest_deployment
from simulator.study.step import formats_of, shape_of, step_energy

TELLING_SHARE = 0.1
"""Share of the operator time from which a level of firmness tells of a step."""


def simulate(name: str, overrides: Mapping[str, str] | None = None) -> Result:
    """Simulate the scenario ``name`` (bundled or a path); ``overrides`` maps dotted paths to values.

    ProfileError: bad input. A deployment that does not fit in memory is simulated all the same and says so.
    """
    return simulate_deployment(deploy(name, overrides))


def simulate_deployment(deployment: Deployment) -> Result:
    """Simulate a resolved deployment."""
    scenario = deployment.scenario
    machine = Machine(deployment.device, deployment.system, deployment.runtime.name)
    phases = {name: phase_result(deployment, phase, machine) for name, phase in scenario.phases.named().items()}
    formats = formats_of(deployment)
    figures = deployment.figures()
    smallest = _smallest(deployment, phases)
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
        notes=_notes(deployment, phases, smallest),
        smallest_num_devices=smallest,
        estimated_figures=tuple(path for path, figure in figures.items() if figure.kind == "estimated"),
        figure_count=len(figures),
        tokens_per_character=deployment.model.tokenizer.tokens_per_character if deployment.model.tokenizer else None,
        config=asdict(scenario),
    )


def phase_result(deployment: Deployment, phase: Phase, machine: Machine) -> PhaseResult:
    """One phase of a deployment, costed, replayed and accounted."""
    found = steps_of(deployment, phase, machine, shape_of(deployment, phase))
    step = found.shown
    timeline = replay(step.program, step.durations_ps)
    operators = merged([operator_results(run, deployment, times) for run, times in found.runs])
    decodes, prompts = _requests(phase)
    ranks = deployment.scenario.layout(phase).dp
    output, prompt = decodes * ranks * deployment.scenario.kept, _prompt_tokens(phase) * ranks
    parts = [o for o in operators if o.total_seconds > 0]
    roof = sum(over_steps(c.roofline, times) * run.counts[t] for run, times in found.runs for t, c in run.costs.items())
    return PhaseResult(
        phase="mixed" if isinstance(phase, Mixed) else step.phase,
        requests=(decodes + prompts) * ranks,
        decoding=decodes * ranks,
        tokens=output + prompt,
        output_tokens=output,
        context=float(np.asarray(found.shape.context)),
        seconds=found.seconds,
        operators=operators,
        energy=_energy(deployment, found),
        exposed=_exposed(found, timeline),
        bound=_dominant(parts),
        fidelity=_fidelity(parts),
        band_pct=combined_band_pct([(o.band_pct, o.total_seconds, o.family) for o in parts], deployment.device.vendor),
        memory=memory_use(deployment, phase, found.shape),
        graph=step.graph,
        program=step.program,
        timeline=timeline,
        roofline_seconds=roof,
        costs=step.costs,
        experts=expert_use(step.graph),
        chunks=found.chunks,
    )


def _requests(phase: Phase) -> tuple[int, int]:
    """(decoding requests, prompts) of an attention rank."""
    if isinstance(phase, Mixed):
        return phase.decode.batch, phase.prefill.batch
    return (phase.batch, 0) if isinstance(phase, Decode) else (0, phase.batch)


def _prompt_tokens(phase: Phase) -> int:
    """New prompt tokens of an attention rank."""
    if isinstance(phase, Mixed):
        return phase.prefill.new_tokens
    return phase.tokens if isinstance(phase, Prefill) else 0


def _energy(deployment: Deployment, found: PhaseSteps) -> Energy:
    one_by_one = sum(over_steps(run.seconds, times) for run, times in found.runs)
    share = (
        1.0 if found.shown.stage_seconds is None else found.seconds / one_by_one
    )  # chunks overlap in pipeline stages
    each = [(step_energy(r, deployment.device, deployment.ranks_per_device, share).split(), t) for r, t in found.runs]
    return Energy(**{cause: sum(over_steps(split[cause], times) for split, times in each) for cause in each[0][0]})


def _exposed(found: PhaseSteps, shown: Timeline) -> dict[str, float]:
    """Critical path of all steps by stage. With pipeline stages, what they do for other micro-batches meanwhile is
    "pipeline"; chunks that follow each other through the stages share the elapsed time.
    """
    stages: dict[str, float] = {}
    for run, times in found.runs:
        timeline = shown if run is found.shown else replay(run.program, run.durations_ps)
        hosts = np.broadcast_to(np.asarray(run.host_seconds, dtype=np.float64), times.shape)
        for index in np.ndindex(times.shape):
            if times[index]:
                alone = timeline.scenario(*index) if index and timeline.start_ps.ndim > 1 else timeline
                for stage, seconds in exposed_by_stage(run.graph, alone, float(hosts[index])).items():
                    stages[stage] = stages.get(stage, 0.0) + seconds * int(times[index])
    waited = found.seconds - sum(stages.values())
    if found.shown.stage_seconds is None or waited == 0:
        return stages
    if waited > 0:
        return stages | {"pipeline": waited}
    return {stage: seconds * found.seconds / (found.seconds - waited) for stage, seconds in stages.items()}


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


def _fidelity(operators: Sequence[OperatorResult]) -> str:
    """The weakest level that stands behind at least a tenth of the operator time."""
    total = sum(o.total_seconds for o in operators)
    behind = 0.0
    for level in reversed(FIDELITIES):
        behind += sum(o.total_seconds for o in operators if o.fidelity == level)
        if behind >= TELLING_SHARE * total:
            return level
    return FIDELITIES[0]


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
                f"{phase.memory.total / 1e9:.1f} GB a rank", _memory_advice(result, phase.memory),
            )  # fmt: skip


def _memory_advice(result: Result, memory: MemoryUse) -> str:
    need = result.smallest_num_devices
    where = f"it fits from {need} devices on" if need else "it fits no deployment of this system"
    return f"{memory.capacity / 1e9:.1f} GB; {where}, or use --ignore-memory"


def _pipeline_notes(deployment: Deployment) -> list[str]:
    scenario = deployment.scenario
    stages = max((scenario.layout(p).pp for p in scenario.phases.named().values()), default=1)
    if stages == 1:
        return []
    return [
        f"pp={stages}: requests go through the stages as micro-batches, one a stage; prefill counts fill and drain, decode "
        "its steady state; operators and trace show one micro-batch"
    ]


def _smallest(deployment: Deployment, phases: Mapping[str, PhaseResult]) -> int | None:
    """Fewest devices on which every phase fits."""
    if all(p.memory.fits for p in phases.values()):
        return deployment.num_devices
    found = smallest_deployment(deployment)
    return found.num_devices if found else None


def _notes(deployment: Deployment, phases: Mapping[str, PhaseResult], need: int | None) -> tuple[str, ...]:
    notes = []
    for name, phase in phases.items():
        if not phase.memory.fits:
            where = f"needs {need} devices" if need else "does not fit any deployment of this system"
            notes.append(
                f"{name}: {phase.memory.total / 1e9:.1f} GB a rank exceed {phase.memory.capacity / 1e9:.1f} GB; {where}"
            )
    notes += _pipeline_notes(deployment)
    if deployment.scenario.drafts and deployment.model.mtp is None and ({"decode", "mixed"} & phases.keys()):
        notes.append(
            f"{deployment.model.name} has no draft module: drafts are taken as free (n-gram); verifying "
            f"{1 + deployment.scenario.drafts} tokens a request is not"
        )
    if deployment.usd_per_device_hour is None:
        notes.append(f"no price for {deployment.device.name} on the basis {deployment.prices.name}")
    if deployment.changed:
        notes.append("changed: " + ", ".join(deployment.changed))
    return tuple(notes)
