"""Cost of every template of a graph on one rank: terms to kernels, kernels to core models, exchanges to the fabric."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from simulator.devices.cost import ZERO, Cost
from simulator.devices.kernel_cost import kernel_cost
from simulator.devices.peaks import Device, roofline_seconds
from simulator.devices.rank import rank_of
from simulator.fabric.collectives import collective_cost
from simulator.fabric.exchange import exchange_cost
from simulator.fabric.stack import CommStack, collective_stack, exchange_stack
from simulator.fabric.topology import Link, links_of, place
from simulator.models.graph import Graph
from simulator.ops.fused import Step
from simulator.ops.op import Op
from simulator.ops.tensor import Number, TensorSpec
from simulator.ops.work import Collective, ExpertExchange, Term, Work
from simulator.profiles.system import System
from simulator.study.kernel_choice import Choice, choose

FIDELITIES = ("calibrated", "derived", "estimated")


@dataclass(frozen=True, slots=True, eq=False)
class NodeCost:
    """Cost of one template and where it came from. roofline: seconds at datasheet peak."""

    work: Work
    cost: Cost
    family: str
    kernel: str
    fidelity: str
    links: tuple[Link, ...]
    roofline: Number


class Machine:
    """One rank's view of a deployment: its device share, the fabric, and the kernels of a runtime (looked up once)."""

    def __init__(self, device: Device, system: System, runtime: str) -> None:
        self.device = device
        self.rank = rank_of(device, system.ranks_per_device)
        self.system = system
        self.runtime = runtime
        self._kernels: dict[Hashable, Choice] = {}
        self._collectives: CommStack | None = None
        self._exchanges: CommStack | None = None

    @property
    def collectives(self) -> CommStack:
        """Stack that runs collectives."""
        if self._collectives is None:
            self._collectives = collective_stack(self.runtime, self.device.vendor, self.device.architecture)
        return self._collectives

    @property
    def exchanges(self) -> CommStack:
        """Stack that dispatches to experts and combines."""
        if self._exchanges is None:
            self._exchanges = exchange_stack(self.runtime, self.device.vendor, self.device.architecture)
        return self._exchanges

    def cost_of(self, work: Work) -> NodeCost:
        """Cost of an operator: its terms one after the other."""
        total, family, label, worst = ZERO, "", "", 0
        links: tuple[Link, ...] = ()
        for term in work:
            cost, name, kernel, fidelity, used = self._term(term)
            if float(np.max(np.asarray(cost.seconds), initial=0.0)) >= float(
                np.max(np.asarray(total.seconds), initial=0.0)
            ):
                family, label = name, kernel
            total = total + cost
            worst = max(worst, FIDELITIES.index(fidelity))
            links = used or links
        return NodeCost(work, total, family, label, FIDELITIES[worst], links, roofline_seconds(work, self.rank))

    def _term(self, term: Term) -> tuple[Cost, str, str, str, tuple[Link, ...]]:
        if isinstance(term, Collective):
            if term.ranks <= 1:
                return ZERO, "collectives", "", "calibrated", ()
            span = place(self.system, term.ranks)
            stack = self.collectives
            cost = collective_cost(term, self.system, span, stack)
            return (
                cost,
                "collectives",
                f"{stack.library.runtime}/collectives",
                stack.fidelity,
                links_of(span),
            )
        if isinstance(term, ExpertExchange):
            if term.ranks <= 1:
                return ZERO, "deepep", "", "calibrated", ()
            span = place(self.system, term.ranks)
            stack = self.exchanges
            cost = exchange_cost(term, self.system, stack, span=span)
            return cost, "deepep", f"{stack.library.runtime}/deepep", stack.fidelity, links_of(span)
        choice = choose(term, self.device, self.runtime, self._kernels)
        return kernel_cost(term, self.rank, choice.kernel), choice.family, choice.label, choice.fidelity, ()


def graph_costs(graph: Graph, machine: Machine, known: dict[Hashable, NodeCost] | None = None) -> dict[int, NodeCost]:
    """NodeCost of every template of ``graph``; templates of equal operator and shapes (dense and MoE layers share their
    attention) are costed once. known: costs of other graphs on the same machine, used and filled."""
    known = {} if known is None else known
    costs: dict[int, NodeCost] = {}
    for template, node in graph.templates().items():
        inputs, outputs = graph.specs(node.inputs), graph.specs(node.outputs)
        key = (_op_key(node.op), tuple(_spec_key(s) for s in inputs))
        if key not in known:
            known[key] = machine.cost_of(node.op.work(inputs, outputs))
        costs[template] = known[key]
    return costs


def _op_key(op: Op) -> Hashable:
    return type(op), tuple([_plain(getattr(op, name)) for name in _field_names(type(op))])


@lru_cache(maxsize=256)
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


def _spec_key(spec: TensorSpec) -> Hashable:
    return spec.dtype, _plain(spec.shape)


def _plain(value: Any) -> Hashable:
    """``value`` with arrays replaced by their bytes, so that it can be a key."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    if isinstance(value, Step):
        return _op_key(value.op), value.inputs, value.outputs
    found: Hashable = value
    return found
