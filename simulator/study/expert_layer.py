"""Expert layers as stacks run them: one fused call for permutation, both products, activation and reduction.

Public kernel tables time the fused call of a stack, not its parts. Where a runtime says that it serves a format with that call
(``fused_experts``), its time replaces the sum of the parts; each part keeps its share of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from simulator.devices.cost import Cost
from simulator.devices.gpu.fused_moe import FusedMoe, fused_moe_cost
from simulator.devices.gpu.grouped_matmul import even_loads
from simulator.models.graph import Graph, Node
from simulator.ops.expert_exchange import ExpertDispatch
from simulator.ops.work import Gather, GroupedMatmul, Work
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel, NoKernelError, load_kernels
from simulator.profiles.runtime import Runtime
from simulator.study.node_cost import NodeCost

Floats = npt.NDArray[np.float64]
LIBRARY_NAMES = {
    ("fp8_block", "fp8_block_weight"): "fp8_block",
    ("bfloat16", "int4"): "int4_wo",
    ("bfloat16", "mxfp4"): "w4a16_mxfp4",
    ("fp8_block", "mxfp4"): "w4a8_mxfp4_mxfp8",
    ("mxfp4", "mxfp4"): "w4a8_mxfp4_mxfp8",
}
"""(activations, weights) of the graph -> the dtype that kernel tables of expert layers use, where it is not the weights'."""
OPERATIONS = {"normal": "moe_ep_prefill", "low_latency": "moe_ep_decode"}
"""Exchange of the layer -> the kernels that follow it in the tables; other layers keep all tokens on every rank."""


def with_fused_experts(
    graph: Graph, costs: Mapping[int, NodeCost], rank: object, runtime: Runtime
) -> dict[int, NodeCost]:
    """``costs`` with the parts of every expert layer scaled to the fused call of ``runtime`` on ``rank``, where it has one."""
    found = dict(costs)
    if not isinstance(rank, Gpu) or not runtime.fused_experts:
        return found
    works = {template: node.work for template, node in costs.items()}
    for parts in _layers(graph, works):
        fused = _fused(parts, graph, works, rank, runtime)
        if fused is None:
            continue
        together = np.asarray(sum((np.asarray(costs[n.template].cost.seconds) for n in parts), start=np.zeros(())))
        share = np.asarray(fused.seconds) / together
        share = share if share.size > 1 else share.reshape(())
        for template in {n.template for n in parts}:
            part = costs[template]
            scaled = replace(part.cost, seconds=part.cost.seconds * share)
            found[template] = replace(
                part, cost=scaled, family="moe", kernel=f"{runtime.name}/moe", fidelity="calibrated"
            )
    return found


def _layers(graph: Graph, works: Mapping[int, Work]) -> list[list[Node]]:
    """Nodes of each expert layer (once per layer body) that a fused call covers, the up projection first."""
    found, seen = [], set[int]()
    for node in graph.nodes:
        if node.name == "expert_up" and node.template not in seen:
            seen.add(node.template)
            found.append([node, *_around(graph, node, works)])
    return found


def _around(graph: Graph, up: Node, works: Mapping[int, Work]) -> list[Node]:
    """The other nodes of the call: all of the experts, and local permutations and conversions next to them."""
    near = [n for n in graph.nodes if n.layer == up.layer and n.micro_batch == up.micro_batch and n is not up]
    beside = [n for n in near if n.name in ("dispatch_quantize", "dispatch", "combine") and n.stage != "experts"]
    local = [n for n in beside if "quantize" in n.name or all(isinstance(t, Gather) for t in works[n.template])]
    return [n for n in near if n.stage == "experts"] + local


def _fused(parts: list[Node], graph: Graph, works: Mapping[int, Work], gpu: Gpu, runtime: Runtime) -> Cost | None:
    """Cost of one fused expert layer; None if the runtime does not serve it that way."""
    products = {n.name: t for n in parts for t in works[n.template] if isinstance(t, GroupedMatmul)}
    dispatch = next((n.op for n in graph.nodes if n.layer == parts[0].layer and isinstance(n.op, ExpertDispatch)), None)
    if set(products) != {"expert_up", "expert_down"} or dispatch is None:
        return None
    up, down = products["expert_up"], products["expert_down"]
    kernel = _kernel(runtime, gpu, LIBRARY_NAMES.get((up.a_dtype, up.b_dtype), up.b_dtype), dispatch)
    if kernel is None:
        return None
    sizes = (up.rows, up.active, up.k, down.k)
    rows, active, hidden, inter = np.broadcast_arrays(*(np.atleast_1d(np.asarray(s, dtype=np.float64)) for s in sizes))
    tokens = rows * dispatch.ranks / (dispatch.topk * dispatch.skew)
    reached = 1.0 - (1.0 - 1.0 / dispatch.ranks) ** dispatch.topk  # a token has some expert on the rank
    moe = FusedMoe(
        tokens=tokens,
        held=even_loads(rows, active),
        spread=tokens * reached * dispatch.topk,
        hidden=hidden,
        inter=inter,
        topk=np.full_like(rows, dispatch.topk),
        experts=np.full_like(rows, dispatch.slots),
        ranks=np.full_like(rows, dispatch.ranks),
        a_dtype=up.a_dtype,
        b_dtype=up.b_dtype,
        rate=up.rate,
    )
    return fused_moe_cost(moe, gpu, kernel)


def _kernel(runtime: Runtime, gpu: Gpu, dtype: str, dispatch: ExpertDispatch) -> Kernel | None:
    if dtype not in runtime.fused_experts:
        return None
    op = OPERATIONS.get(dispatch.mode, "moe_fused") if dispatch.ranks > 1 else "moe_fused"
    try:
        kernel = load_kernels(runtime.name, "moe", gpu.vendor).select(gpu.architecture, op=op, dtype=dtype)
    except NoKernelError:
        return None
    return replace(kernel, values={k: v for k, v in kernel.values.items() if k != "host_floor"})
