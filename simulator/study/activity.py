"""What a step keeps busy on one rank: seconds, kernel seconds, HBM bytes and matrix FLOPs, over arrays of step sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.devices.peaks import Device, peak_flops
from simulator.economics.energy import device_energy
from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.step import StepShape
from simulator.study.deployment import Deployment
from simulator.study.folded_graph import step_seconds, uses_of
from simulator.study.node_cost import Machine, NodeCost, graph_costs
from simulator.study.step_tables import core_templates, folded

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """One entry per scenario. seconds: the step. busy: part of it in which a compute kernel runs. hbm: bytes. flops: by rate class."""

    seconds: Floats
    busy: Floats
    hbm: Floats
    flops: Mapping[str, Floats]

    def plus(self, other: Activity, times: Floats | float = 1.0) -> Activity:
        """This and ``times`` of the other, one after the other."""
        rates = dict.fromkeys((*self.flops, *other.flops))
        flops = {r: self.flops.get(r, 0.0) + times * np.asarray(other.flops.get(r, 0.0)) for r in rates}
        return Activity(
            self.seconds + times * other.seconds, self.busy + times * other.busy, self.hbm + times * other.hbm, flops
        )

    def part(self, pick: slice) -> Activity:
        """The scenarios of ``pick``."""
        return Activity(
            self.seconds[pick], self.busy[pick], self.hbm[pick], {r: f[pick] for r, f in self.flops.items()}
        )


def activity(
    deployment: Deployment, layout: Layout, formats: Formats, machine: Machine, shape: StepShape
) -> tuple[Activity, Activity]:
    """(the whole step, its attention part) at every entry of ``shape``."""
    graph = folded(deployment, layout, formats, shape)
    costs = graph_costs(graph, machine)
    size = np.broadcast(*(np.asarray(d) for d in (shape.batch, shape.q_len, shape.kv_len))).shape
    everything, core = set(costs), core_templates(graph, costs)
    whole = _total(graph, costs, everything, size)
    total = Activity(np.broadcast_to(step_seconds(graph, costs), size), whole.busy, whole.hbm, whole.flops)
    return total, _total(graph, costs, core, size)


def watts(work: Activity, seconds: Floats, device: Device, ranks_per_device: int = 1, *, graphs: bool = True) -> Floats:
    """Mean power of one device whose ranks each do ``work`` in ``seconds`` of a running engine.

    graphs: kernels are replayed from a graph; clocks and caches then stay up in the short gaps between them, and the device counts
    as active throughout. Launched one by one, it is active while a kernel runs.
    """
    flops = {rate: f * ranks_per_device for rate, f in work.flops.items()}
    traffic = work.hbm * ranks_per_device
    busy = seconds if graphs else np.minimum(work.busy, seconds)
    joules = device_energy(device.power, seconds, busy, traffic, device.memory.bandwidth, flops, peak_flops(device))
    return np.asarray(joules.total / seconds)


def _total(graph: Graph, costs: Mapping[int, NodeCost], templates: set[int], size: tuple[int, ...]) -> Activity:
    uses = uses_of(graph)
    seconds, hbm = np.zeros(size), np.zeros(size)
    flops: dict[str, Floats] = {}
    for node in graph.nodes:
        if node.template not in templates:
            continue
        count, cost = uses.get(node.layer, 1), costs[node.template]
        seconds = seconds + count * np.asarray(cost.cost.seconds)
        hbm = hbm + count * np.asarray(cost.cost.bytes.get("hbm", 0.0))
        for rate, amount in cost.work.matmul_flops().items():
            flops[rate] = flops.get(rate, np.zeros(size)) + count * np.asarray(amount)
    return Activity(seconds, seconds, hbm, flops)
