"""Ascend core model: what a work term costs on one device."""

from __future__ import annotations

from simulator.devices.ascend.attention import attention_cost
from simulator.devices.ascend.gemm import grouped_cost, matmul_cost
from simulator.devices.ascend.prolog import prolog_cost
from simulator.devices.ascend.sparse_attention import index_scores_cost, selected_attention_cost, topk_cost
from simulator.devices.ascend.vector import elementwise_cost, gather_cost
from simulator.devices.cost import Cost
from simulator.ops.work import Attention, Elementwise, Gather, GroupedMatmul, IndexScores, Matmul, Term, TopK
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel

__all__ = [
    "attention_cost",
    "cost",
    "elementwise_cost",
    "gather_cost",
    "grouped_cost",
    "index_scores_cost",
    "matmul_cost",
    "prolog_cost",
    "selected_attention_cost",
    "topk_cost",
]

DEFAULT = Kernel("cann", "", {}, {})


def cost(term: Term, device: Ascend, kernel: Kernel = DEFAULT) -> Cost:
    """Cost of one work term. TypeError for terms that occupy links instead of a core."""
    match term:
        case Matmul():
            return matmul_cost(term, device, kernel)
        case GroupedMatmul():
            return grouped_cost(term, device, kernel)
        case Attention():
            if term.selected:
                return selected_attention_cost(term, device, kernel, term.pool_bytes())
            return attention_cost(term, device, kernel)
        case IndexScores():
            return index_scores_cost(term, device, kernel)
        case TopK():
            return topk_cost(term, device, kernel)
        case Elementwise():
            return elementwise_cost(term, device, kernel)
        case Gather():
            return gather_cost(term, device, kernel)
    raise TypeError(f"{type(term).__name__} has no core cost: it belongs to the fabric")
