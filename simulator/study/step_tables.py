"""Step tables of a deployment: one folded graph per phase, costed over a grid of sizes at once.

Layers of one body cost the same, so every body is replayed once and counted as often as it occurs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from simulator.models.build import fold
from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.step import StepShape
from simulator.ops.work import Attention, IndexScores, TopK
from simulator.profiles.errors import fail
from simulator.serving.step_table import DecodeTable, PrefillTable
from simulator.study.deployment import Deployment
from simulator.study.folded_graph import step_seconds, uses_of
from simulator.study.node_cost import Machine, NodeCost, graph_costs
from simulator.study.step import options_of

Floats = npt.NDArray[np.float64]

CONTEXTS = (64, 1024, 4096, 16384, 65536, 262144)
PASTS = (0, 4096, 32768, 131072)
ALL_GATHER_RANKS = (
    8  # engines gather all tokens and scatter the sums inside a node; all-to-all kernels serve wider groups
)
SMALLEST_PREFILL, LARGEST_PREFILL = 16, 32768


def decode_table(
    deployment: Deployment, layout: Layout, formats: Formats, machine: Machine, largest: int, drafts: int = 0
) -> DecodeTable:
    """Decode steps of 1 .. ``largest`` sequences a rank, each with ``drafts`` drafted tokens to verify."""
    batches = np.array([float(2**i) for i in range(max(2, int(np.ceil(np.log2(max(largest, 2)))) + 1))])
    contexts = np.array(CONTEXTS, dtype=np.float64) + drafts
    b, k = (x.ravel() for x in np.meshgrid(batches, contexts, indexing="ij"))
    graph = folded(deployment, layout, formats, StepShape("decode", b, 1 + drafts, k))
    costs = graph_costs(graph, machine)
    shape = (len(batches), len(contexts))
    total = step_seconds(graph, costs)
    core = _sum(graph, costs, core_templates(graph, costs))
    return DecodeTable(
        batches, contexts, np.broadcast_to(total, b.shape).reshape(shape), np.broadcast_to(core, b.shape).reshape(shape)
    )


def prefill_table(deployment: Deployment, layout: Layout, formats: Formats, machine: Machine) -> PrefillTable:
    """Prefill steps of one prompt chunk a rank; sparse attention over gathered keys, as the engines run it."""
    count = int(np.log2(LARGEST_PREFILL / SMALLEST_PREFILL)) + 1
    tokens = np.asarray(SMALLEST_PREFILL * 2.0 ** np.arange(count), dtype=np.float64)
    pasts = np.array(PASTS, dtype=np.float64)
    t, p = (x.ravel() for x in np.meshgrid(tokens, pasts, indexing="ij"))
    graph = folded(deployment, layout, formats, StepShape("prefill", 1, t, t + p))
    costs = graph_costs(graph, machine)
    total = np.broadcast_to(step_seconds(graph, costs), t.shape).reshape(len(tokens), len(pasts))
    scores = {i for i, c in costs.items() if any(isinstance(x, Attention | IndexScores | TopK) for x in c.work)}
    core = np.broadcast_to(_sum(graph, costs, scores), t.shape).reshape(total.shape)
    linear = np.asarray(total[:, 0] - core[:, 0], dtype=np.float64)
    rest = np.asarray(np.maximum(total - linear[:, None], 0.0), dtype=np.float64)
    return PrefillTable(tokens, pasts, linear, rest)


def folded(deployment: Deployment, layout: Layout, formats: Formats, step: StepShape) -> Graph:
    """The graph of one rank with every layer body once. ProfileError: the layout does not fit the model."""
    options = options_of(deployment, step.phase, layout)
    if 1 < layout.ep <= ALL_GATHER_RANKS:
        options = replace(options, exchange="all_gather")
    try:
        return fold(deployment.model, step, layout, formats, options)
    except ValueError as error:
        raise fail(f"scenario {deployment.scenario.name}", 0, "parallel", str(error)) from None


def core_templates(graph: Graph, costs: Mapping[int, NodeCost]) -> set[int]:
    """Templates that work per sequence (caches, states, scores) rather than per token of the step."""
    nodes = graph.templates()
    per_token = ("Matmul", "GroupedMatmul", "Collective")
    return {
        t
        for t, cost in costs.items()
        if nodes[t].stage == "attention_core" and not any(type(term).__name__ in per_token for term in cost.work)
    }


def _sum(graph: Graph, costs: Mapping[int, NodeCost], templates: set[int]) -> Floats:
    uses = uses_of(graph)
    picked = [
        uses.get(n.layer, 1) * np.asarray(costs[n.template].cost.seconds)
        for n in graph.nodes
        if n.template in templates
    ]
    return np.asarray(sum(picked, start=np.zeros(())), dtype=np.float64)
