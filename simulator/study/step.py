"""One step of a deployment: the model's graph, its costs on one rank, the replayed time. Vectorised over scenarios."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from simulator.devices.peaks import Device, peak_flops
from simulator.economics.energy import Energy, device_energy
from simulator.models.formats import SCHEMES, Formats, native, precision, supported
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape, mixed
from simulator.ops.tensor import Dim, Number
from simulator.profiles.errors import fail
from simulator.profiles.scenario import NATIVE, Mixed, Parallel, Phase, Prefill
from simulator.replay.batched import makespans
from simulator.replay.build import program_of
from simulator.replay.program import PS_PER_SECOND, Program, Times
from simulator.replay.summary import Summary, summarise
from simulator.study.deployment import Deployment
from simulator.study.expert_use import expert_loads
from simulator.study.folded_graph import step_seconds
from simulator.study.graphs import folded_graph_of, graph_of
from simulator.study.node_cost import Machine, NodeCost, graph_costs
from simulator.study.pipelining import Floats, micro_batches, part_of, stage_seconds, step_time


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A costed and replayed step. seconds: engine step time, host included (one value per scenario).

    shape: what one attention-data-parallel rank does. counts: instances of each template in the graph. With pipeline stages
    graph, program and durations are those of one of ``micro_batches`` on its way through all stages, stage_seconds what it
    spends in each of them [stages, scenarios].
    """

    phase: str
    shape: StepShape
    graph: Graph
    costs: dict[int, NodeCost]
    counts: dict[int, int]
    program: Program
    durations_ps: Times
    replay_seconds: Number
    host_seconds: Number
    micro_batches: Number = 1.0
    stage_seconds: Floats | None = None

    @property
    def passes(self) -> Number:
        """How often a rank executes the graph on average: it has one of the stages and sees every micro-batch."""
        return 1.0 if self.stage_seconds is None else self.micro_batches / len(self.stage_seconds)

    @property
    def seconds(self) -> Number:
        """Step time: the replayed device timeline plus host work that nothing hides."""
        return self.replay_seconds + self.host_seconds

    def total(self, what: str) -> Number:
        """Sum over all instances on one rank: "flops", "hbm" bytes, "wire" bytes or kernel "seconds"."""
        total: Number = 0.0
        for template, node in self.costs.items():
            total = total + _amount(node, what) * self.counts[template]
        return total * self.passes

    def matmul_flops(self) -> dict[str, Number]:
        """Matrix FLOPs by rate class on one rank."""
        total: dict[str, Number] = {}
        for template, node in self.costs.items():
            for rate, flops in node.work.matmul_flops().items():
                total[rate] = total.get(rate, 0.0) + flops * self.counts[template] * self.passes
        return total

    def summary(self) -> Summary:
        """Busy and exposed times of the replay."""
        return summarise(self.program, self.durations_ps)


def _amount(node: NodeCost, what: str) -> Number:
    if what == "flops":
        return node.work.flops()
    if what == "seconds":
        return node.cost.seconds
    return node.cost.bytes.get(what, 0.0)


def formats_of(deployment: Deployment) -> Formats:
    """Number formats of the deployment: the checkpoint's, the scenario's choices, and what the device can run."""
    scenario, chosen = deployment.scenario, deployment.scenario.formats
    where = f"scenario {scenario.name}"
    try:
        found = native(deployment.model) if chosen.weights == NATIVE else precision(deployment.model, chosen.weights)
        if chosen.experts != NATIVE:
            found = replace(found, experts=chosen.experts, dispatch=SCHEMES[chosen.experts].activation)
        for part in ("kv_cache", "dispatch"):
            if getattr(chosen, part) != NATIVE:
                found = replace(found, **{part: getattr(chosen, part)})
        if chosen.combine != NATIVE:
            found = replace(found, combine=chosen.combine)
        return supported(found, peak_flops(deployment.device).keys())
    except (ValueError, KeyError) as error:
        raise fail(where, 0, "formats", str(error)) from None


def layout_of(parallel: Parallel) -> Layout:
    """The model room's layout for a scenario's parallel sizes."""
    p = parallel
    sizes = {"tp": p.tp, "dp": p.dp, "pp": p.pp, "cp": p.cp, "dcp": p.dcp, "ep": p.ep}
    return Layout(**sizes, sequence_parallel=p.sequence_parallel, redundant_experts=p.redundant_experts)


def options_of(deployment: Deployment, phase: str, layout: Layout) -> Options:
    """Execution choices of a phase. ProfileError: expert loads that do not fit the model."""
    scenario = deployment.scenario
    domain = min(deployment.system.scale_up.scope * deployment.ranks_per_device, scenario.num_devices)
    return Options(
        mtp_passes=scenario.drafts if phase != "prefill" and deployment.model.mtp is not None else 0,
        exchange=scenario.exchange if phase != "decode" or scenario.exchange == "low_latency" else "auto",
        ranks_per_node=domain,
        imbalance=scenario.expert_imbalance,
        expert_loads=expert_loads(deployment, layout),
        fusions=deployment.runtime.fusions,
        overlap="two_batch" if scenario.overlap == "two_micro_batch" else "none",
    )


def shape_of(deployment: Deployment, phase: Phase, batch: Dim | None = None, context: Dim | None = None) -> StepShape:
    """Step shape of one attention rank; ``batch`` and ``context`` replace the scenario's (arrays sweep at once).

    A chunked prefill counts whole, as if it were one step.
    """
    if isinstance(phase, Mixed):
        chunk = phase.prefill
        rows = StepShape("prefill", chunk.batch, chunk.tokens, chunk.prefix_len + chunk.tokens)
        return mixed(shape_of(deployment, phase.decode), rows)
    if isinstance(phase, Prefill):
        isl = phase.isl if context is None else context
        return StepShape("prefill", phase.batch if batch is None else batch, isl - phase.prefix_len, isl)
    drafts = deployment.scenario.drafts
    kv_len = (phase.context if context is None else context) + drafts
    return StepShape("decode", phase.batch if batch is None else batch, 1 + drafts, kv_len)


def run_step(
    deployment: Deployment,
    phase: Phase,
    shape: StepShape | None = None,
    machine: Machine | None = None,
) -> Step:
    """Build, cost and replay one step, in the form of attention that is faster where the engine has a choice.

    Sparse attention may run a prefill as masked dense attention (short prompts) or over gathered keys (long ones); a sweep
    that needs both forms is cut by ``forms_of``. ProfileError: the layout or the formats do not fit the model.
    """
    shape = shape or shape_of(deployment, phase)
    machine = machine or Machine(deployment.device, deployment.system, deployment.runtime.name)
    known: dict[Hashable, NodeCost] = {}
    options = _attention_forms(deployment, phase, shape)
    if len(options) > 1 and np.ndim(shape.kv_len) == 0 and _folds(deployment, phase):
        options = [min(options, key=lambda o: _folded_seconds(deployment, phase, shape, machine, o, known))]
    steps = [_step(deployment, phase, shape, machine, o, known) for o in options]
    return min(steps, key=lambda s: float(np.sum(np.asarray(s.seconds))))


def _folds(deployment: Deployment, phase: Phase) -> bool:
    """Whether the folded graph tells the step time: one pipeline stage, prompts whole, no second micro-batch."""
    layout = deployment.scenario.layout(phase)
    return layout.pp == layout.cp == 1 and deployment.scenario.overlap == "none"


def _folded_seconds(
    deployment: Deployment,
    phase: Phase,
    shape: StepShape,
    machine: Machine,
    options: Options,
    known: dict[Hashable, NodeCost],
) -> float:
    layout = layout_of(deployment.scenario.layout(phase))
    try:
        graph = folded_graph_of(deployment.model, shape, layout, formats_of(deployment), options)
    except ValueError as error:
        raise fail(f"scenario {deployment.scenario.name}", 0, "parallel", str(error)) from None
    return float(np.sum(step_seconds(graph, graph_costs(graph, machine, known))))


def forms_of(
    deployment: Deployment,
    phase: Phase,
    shape: StepShape | None = None,
    machine: Machine | None = None,
) -> list[Step]:
    """The step in every form of attention its engine may choose (one, or two for a prefill of a sparse-attention model)."""
    shape = shape or shape_of(deployment, phase)
    machine = machine or Machine(deployment.device, deployment.system, deployment.runtime.name)
    known: dict[Hashable, NodeCost] = {}
    return [_step(deployment, phase, shape, machine, o, known) for o in _attention_forms(deployment, phase, shape)]


def _attention_forms(deployment: Deployment, phase: Phase, shape: StepShape) -> list[Options]:
    kind = "mixed" if shape.groups else shape.phase
    options = options_of(deployment, kind, layout_of(deployment.scenario.layout(phase)))
    choices = [options]
    if shape.phase == "prefill" and any(layer.mixer.startswith("mla_dsa") for layer in deployment.model.sequence()):
        longest = max(int(np.max(np.asarray(s.kv_len))) for s in (*shape.groups, shape))
        masked = replace(options, masked_mha_below=longest)
        choices = [masked] if _all_keys_are_few(deployment, shape) else [options, masked]
    return choices


def _all_keys_are_few(deployment: Deployment, shape: StepShape) -> bool:
    """Whether queries see on average no more keys than sparse attention would gather: it then does more work a pair on as
    many pairs, and gathers them besides."""
    indexer = deployment.model.indexer
    if shape.groups or indexer is None:
        return False
    seen = np.asarray(shape.kv_len, dtype=np.float64) - np.asarray(shape.q_len, dtype=np.float64) / 2
    return bool(np.all(seen <= indexer.topk))


def _step(
    deployment: Deployment,
    phase: Phase,
    shape: StepShape,
    machine: Machine,
    options: Options,
    known: dict[Hashable, NodeCost],
) -> Step:
    scenario = deployment.scenario
    layout = layout_of(scenario.layout(phase))
    try:
        count = micro_batches(layout.pp, shape)
        graph = graph_of(deployment.model, part_of(shape, count), layout, formats_of(deployment), options)
    except ValueError as error:
        raise fail(f"scenario {scenario.name}", 0, "parallel", str(error)) from None
    costs = graph_costs(graph, machine, known)
    counts: dict[int, int] = {}
    for node in graph.nodes:
        counts[node.template] = counts.get(node.template, 0) + 1
    links = {t: tuple(link.id for link in c.links) for t, c in costs.items() if c.links}
    program, durations = program_of(graph, {t: c.cost.seconds for t, c in costs.items()}, links)
    run = (shape.phase, shape, graph, costs, counts, program, durations)
    host = _host(deployment, shape)
    if layout.pp == 1:
        return Step(*run, makespans(program, durations) / PS_PER_SECOND, host)
    stages = stage_seconds(graph, program, durations, layout.pp)
    return Step(*run, step_time(shape.phase, stages, count), host, count, stages)


def _host(deployment: Deployment, shape: StepShape) -> Number:
    host = deployment.runtime.host
    if host is None:
        return 0.0
    return host.step + host.sequence * np.asarray(shape.requests, dtype=np.float64)


def step_energy(step: Step, device: Device, ranks_per_device: int, share: Number = 1.0) -> Energy:
    """Joules of one device over the step: its ranks work alike and share its idle and active draw.

    share: of the step's time that is its own (below 1 where the next step starts before it ends).
    """
    seconds = step.seconds * share
    busy = np.minimum(step.total("seconds"), seconds)
    flops = {rate: f * ranks_per_device for rate, f in step.matmul_flops().items()}
    traffic = step.total("hbm") * ranks_per_device
    return device_energy(device.power, seconds, busy, traffic, device.memory.bandwidth, flops, peak_flops(device))
