"""TPU core model: what a work term costs on one device."""

from __future__ import annotations

from simulator.devices.cost import Cost
from simulator.devices.tpu.attention import attention_cost
from simulator.devices.tpu.hardware import one_core
from simulator.devices.tpu.matmul import grouped_cost, matmul_cost
from simulator.devices.tpu.sparse import gather_cost, index_scores_cost, selected_attention_cost, topk_cost
from simulator.devices.tpu.vector import copy_cost, elementwise_cost
from simulator.ops.work import Attention, Elementwise, Gather, GroupedMatmul, IndexScores, Matmul, Term, TopK
from simulator.profiles.kernels import Kernel
from simulator.profiles.tpu import Tpu

__all__ = [
    "attention_cost",
    "copy_cost",
    "cost",
    "elementwise_cost",
    "gather_cost",
    "grouped_cost",
    "index_scores_cost",
    "matmul_cost",
    "one_core",
    "selected_attention_cost",
    "topk_cost",
]

DEFAULT = Kernel("jax", "", {}, {})


def cost(term: Term, device: Tpu, kernel: Kernel = DEFAULT) -> Cost:
    """Cost of one work term. TypeError for terms that occupy links instead of a core."""
    match term:
        case Matmul():
            return matmul_cost(term, device, kernel)
        case GroupedMatmul():
            return grouped_cost(term, device, kernel)
        case Attention():
            return (selected_attention_cost if term.selected else attention_cost)(term, device, kernel)
        case IndexScores():
            return index_scores_cost(term, device, kernel)
        case TopK():
            return topk_cost(term, device, kernel)
        case Elementwise():
            return elementwise_cost(term, device, kernel)
        case Gather():
            return gather_cost(term, device, kernel)
    raise TypeError(f"{type(term).__name__} has no core cost: it belongs to the fabric")
