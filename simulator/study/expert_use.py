"""The scenario's routing of tokens to experts, as curves for the operators, and what a step made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.models.expert_load import Experts, Popularity, load_curve
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.ops.expert_exchange import ExpertDispatch
from simulator.ops.grouped_linear import GroupedLinear
from simulator.ops.load_curve import LoadCurve
from simulator.ops.work import GroupedMatmul
from simulator.profiles.errors import fail
from simulator.profiles.routing import Routing
from simulator.study.deployment import Deployment


@dataclass(frozen=True, slots=True)
class ExpertUse:
    """How a step loads its experts.

    routing: in words. ranks, nodes: of the expert-parallel group. imbalance: load of the busiest rank over the mean.
    slots: experts a rank holds, replicas included; active: of those that receive at least one token, where most do.
    ranks_reached, nodes_reached: distinct ones a token's experts lie on, experts equally popular.
    """

    routing: str
    ranks: int
    nodes: int
    imbalance: float
    slots: int
    active: float
    ranks_reached: float
    nodes_reached: float

    def text(self) -> str:
        """One line, without its full stop."""
        where = f" on {self.nodes_reached:.3g} of {self.nodes} nodes" if self.nodes > 1 else ""
        reach = f"; a token reaches {self.ranks_reached:.3g} ranks{where}" if self.ranks > 1 else ""
        load = f"the busiest of {self.ranks} ranks has {self.imbalance:.3g} x the mean load, " if self.ranks > 1 else ""
        return f"Experts, {self.routing}: {load}at most {self.active:.3g} of {self.slots} active per rank{reach}"


def expert_loads(deployment: Deployment, layout: Layout) -> LoadCurve | None:
    """Loads of the experts by the number of tokens; None where the routing is balanced or only a factor is given.

    ProfileError: the loads do not fit the model.
    """
    routing, moe = deployment.scenario.routing, deployment.model.moe
    if moe is None or routing.distribution == "balanced" or (moe.experts + layout.redundant_experts) % layout.ep:
        return None  # slots that do not divide are refused with the layout
    misfit = routing.misfit(moe.experts, moe.topk)
    if misfit:
        raise fail(f"scenario {deployment.scenario.name}", 0, "routing.loads", misfit)
    domain = deployment.system.scale_up.scope * deployment.ranks_per_device
    experts = Experts(
        moe.experts,
        moe.topk,
        moe.groups,
        moe.topk_groups,
        layout.ep,
        max(layout.ep // domain, 1),
        layout.redundant_experts,
    )
    popularity = Popularity(routing.distribution, routing.exponent, routing.loads, routing.seed)
    return load_curve(experts, popularity, routing.placement, words(routing, layout.redundant_experts))


def words(routing: Routing, redundant: int) -> str:
    """The routing as a label."""
    kind = f"zipf {routing.exponent:g}" if routing.distribution == "zipf" else routing.distribution
    placement = routing.placement
    if placement == "auto":
        placement = "replicated" if redundant else "contiguous"
    return f"{kind}, {placement}" + (f" with {redundant} redundant" if redundant else "")


def expert_use(graph: Graph) -> ExpertUse | None:
    """What the first expert layer of a step does; None without experts. Sizes that are arrays count at their largest."""
    dispatch = next((n for n in graph.nodes if isinstance(n.op, ExpertDispatch)), None)
    product = next((n for n in graph.nodes if isinstance(n.op, GroupedLinear)), None)
    if dispatch is None or product is None or not isinstance(dispatch.op, ExpertDispatch):
        return None
    op, tokens = dispatch.op, graph.specs(dispatch.inputs)[0].shape[0]
    (term,) = product.op.work(graph.specs(product.inputs), graph.specs(product.outputs)).terms
    if not isinstance(term, GroupedMatmul):
        return None
    given = f"imbalance {op.imbalance:g} as given" if op.imbalance > 1 else "balanced"
    reached = [op.reached(parts) for parts in (op.ranks, op.nodes)]
    return ExpertUse(
        op.curve.label if op.curve else given,
        op.ranks,
        op.nodes,
        float(np.max(np.asarray(op.skew(tokens)))),
        op.local_experts,
        float(np.max(np.asarray(term.active))),
        *reached,
    )
