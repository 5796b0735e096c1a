"""One step of a deployment: the model's graph, its costs on one rank, the replayed time. Vectorised over scenarios."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from simulator.devices.peaks import Device, peak_flops
from simulator.economics.energy import Energy, device_energy
from simulator.models.build import build
from simulator.models.formats import SCHEMES, Formats, native, precision, supported
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.ops.tensor import Dim, Number
from simulator.profiles.errors import fail
from simulator.profiles.model import Model
from simulator.profiles.scenario import NATIVE, Decode, Parallel, Prefill
from simulator.replay.batched import makespans
from simulator.replay.build import program_of
from simulator.replay.program import PS_PER_SECOND, Program, Times
from simulator.replay.summary import Summary, summarise
from simulator.study.deployment import Deployment
from simulator.study.node_cost import Machine, NodeCost, graph_costs


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A costed and replayed step. seconds: engine step time, host included (one value per scenario).

    shape: what one attention-data-parallel rank does. counts: instances of each template in the graph.
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

    @property
    def seconds(self) -> Number:
        """Step time: the replayed device timeline plus host work that nothing hides."""
        return self.replay_seconds + self.host_seconds

    def total(self, what: str) -> Number:
        """Sum over all instances on one rank: "flops", "hbm" bytes, "wire" bytes or kernel "seconds"."""
        total: Number = 0.0
        for template, node in self.costs.items():
            total = total + _amount(node, what) * self.counts[template]
        return total

    def matmul_flops(self) -> dict[str, Number]:
        """Matrix FLOPs by rate class on one rank."""
        total: dict[str, Number] = {}
        for template, node in self.costs.items():
            for rate, flops in node.work.matmul_flops().items():
                total[rate] = total.get(rate, 0.0) + flops * self.counts[template]
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
    return Layout(tp=p.tp, dp=p.dp, pp=p.pp, cp=p.cp, dcp=p.dcp, ep=p.ep, redundant_experts=p.redundant_experts)


def options_of(deployment: Deployment, phase: str) -> Options:
    """Execution choices of a phase."""
    scenario = deployment.scenario
    drafts = scenario.speculative.num_speculative_tokens if scenario.speculative else 0
    domain = min(deployment.system.scale_up.scope * deployment.ranks_per_device, scenario.num_devices)
    return Options(
        mtp_passes=drafts if phase == "decode" and deployment.model.mtp is not None else 0,
        exchange=scenario.exchange if phase == "prefill" or scenario.exchange == "low_latency" else "auto",
        ranks_per_node=domain,
        imbalance=scenario.expert_imbalance,
        fusions=deployment.runtime.fusions,
        overlap="two_batch" if scenario.overlap == "two_micro_batch" else "none",
    )


def shape_of(
    deployment: Deployment, phase: Prefill | Decode, batch: Dim | None = None, context: Dim | None = None
) -> StepShape:
    """Step shape of one attention rank; ``batch`` and ``context`` replace the scenario's (arrays sweep at once)."""
    if isinstance(phase, Prefill):
        isl = phase.isl if context is None else context
        return StepShape("prefill", phase.batch if batch is None else batch, isl - phase.prefix_len, isl)
    drafts = deployment.scenario.speculative.num_speculative_tokens if deployment.scenario.speculative else 0
    tokens = 1 + drafts
    kv_len = (phase.context if context is None else context) + drafts
    return StepShape("decode", phase.batch if batch is None else batch, tokens, kv_len)


def run_step(
    deployment: Deployment,
    phase: Prefill | Decode,
    shape: StepShape | None = None,
    machine: Machine | None = None,
) -> Step:
    """Build, cost and replay one step, in the form of attention that is faster where the engine has a choice.

    Sparse attention may run a prefill as masked dense attention (short prompts) or over gathered keys (long ones); a sweep
    that needs both forms is cut by ``forms_of``. ProfileError: the layout or the formats do not fit the model.
    """
    return min(forms_of(deployment, phase, shape, machine), key=lambda s: float(np.sum(np.asarray(s.seconds))))


def forms_of(
    deployment: Deployment,
    phase: Prefill | Decode,
    shape: StepShape | None = None,
    machine: Machine | None = None,
) -> list[Step]:
    """The step in every form of attention its engine may choose (one, or two for a prefill of a sparse-attention model)."""
    shape = shape or shape_of(deployment, phase)
    machine = machine or Machine(deployment.device, deployment.system, deployment.runtime.name)
    options = options_of(deployment, shape.phase)
    choices = [options]
    if shape.phase == "prefill" and any(layer.mixer.startswith("mla_dsa") for layer in deployment.model.sequence()):
        choices.append(replace(options, masked_mha_below=int(np.max(np.asarray(shape.kv_len)))))
    return [_step(deployment, phase, shape, machine, o) for o in choices]


def _step(
    deployment: Deployment, phase: Prefill | Decode, shape: StepShape, machine: Machine, options: Options
) -> Step:
    scenario = deployment.scenario
    layout = layout_of(scenario.layout(phase))
    try:
        graph = graph_of(deployment.model, shape, layout, formats_of(deployment), options)
    except ValueError as error:
        raise fail(f"scenario {scenario.name}", 0, "parallel", str(error)) from None
    costs = graph_costs(graph, machine)
    counts: dict[int, int] = {}
    for node in graph.nodes:
        counts[node.template] = counts.get(node.template, 0) + 1
    links = {t: tuple(link.id for link in c.links) for t, c in costs.items() if c.links}
    program, durations = program_of(graph, {t: c.cost.seconds for t, c in costs.items()}, links)
    replayed = makespans(program, durations) / PS_PER_SECOND
    return Step(shape.phase, shape, graph, costs, counts, program, durations, replayed, _host(deployment, shape))


def graph_of(model: Model, shape: StepShape, layout: Layout, formats: Formats, options: Options) -> Graph:
    """The built graph; one of plain integer sizes is built once and shared by all devices that run it."""
    sizes = (shape.batch, shape.q_len, shape.kv_len)
    if all(isinstance(s, int) for s in sizes):
        return _built(model, shape.phase, *sizes, layout, formats, options)  # type: ignore[arg-type]
    return build(model, shape, layout, formats, options)


@lru_cache(maxsize=8)
def _built(
    model: Model,
    phase: Literal["prefill", "decode"],
    batch: int,
    q_len: int,
    kv_len: int,
    layout: Layout,
    formats: Formats,
    options: Options,
) -> Graph:
    return build(model, StepShape(phase, batch, q_len, kv_len), layout, formats, options)


def _host(deployment: Deployment, shape: StepShape) -> Number:
    host = deployment.runtime.host
    if host is None:
        return 0.0
    return host.step + host.sequence * np.asarray(shape.batch, dtype=np.float64)


def step_energy(step: Step, device: Device, ranks_per_device: int) -> Energy:
    """Joules of one device over the step: its ranks work alike and share its idle and active draw."""
    busy = np.minimum(step.total("seconds"), step.seconds)
    flops = {rate: f * ranks_per_device for rate, f in step.matmul_flops().items()}
    traffic = step.total("hbm") * ranks_per_device
    return device_energy(device.power, step.seconds, busy, traffic, device.memory.bandwidth, flops, peak_flops(device))
