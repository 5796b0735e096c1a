"""Cost of one term on a device of any vendor: dispatch to the core model of its maker."""

from __future__ import annotations

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention import attention_cost
from simulator.devices.gpu.elementwise import elementwise_cost
from simulator.devices.gpu.gather import gather_cost
from simulator.devices.gpu.grouped_matmul import grouped_matmul_cost
from simulator.devices.gpu.indexer import index_scores_cost
from simulator.devices.gpu.matmul import matmul_cost
from simulator.devices.gpu.top_k import top_k_cost
from simulator.devices.peaks import Device
from simulator.devices.repeated import cost_of_distinct
from simulator.ops.work import Attention, Elementwise, Gather, GroupedMatmul, IndexScores, Matmul, Term, TopK
from simulator.profiles.ascend import Ascend
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.profiles.tpu import Tpu


def kernel_cost(term: Term, device: Device, kernel: Kernel) -> Cost:
    """Cost of ``term`` run by ``kernel`` on one rank of ``device``. TypeError: a term that belongs to the fabric."""
    return cost_of_distinct(term, lambda distinct: _vendor_cost(distinct, device, kernel))


def _vendor_cost(term: Term, device: Device, kernel: Kernel) -> Cost:
    if isinstance(device, Gpu):
        return _gpu_cost(term, device, kernel)
    if isinstance(device, Tpu):
        from simulator.devices import tpu

        return tpu.cost(term, device, kernel)
    if isinstance(device, Ascend):
        from simulator.devices import ascend

        return ascend.cost(term, device, kernel)
    raise TypeError(f"no core model for {type(device).__name__}")


def _gpu_cost(term: Term, gpu: Gpu, kernel: Kernel) -> Cost:
    if isinstance(term, Matmul):
        return matmul_cost(term, gpu, kernel)
    if isinstance(term, GroupedMatmul):
        return grouped_matmul_cost(term, gpu, kernel)
    if isinstance(term, Attention):
        return attention_cost(term, gpu, kernel)
    if isinstance(term, IndexScores):
        return index_scores_cost(term, gpu, kernel)
    if isinstance(term, TopK):
        return top_k_cost(term, gpu, kernel)
    if isinstance(term, Elementwise):
        return elementwise_cost(term, gpu, kernel)
    if isinstance(term, Gather):
        return gather_cost(term, gpu, kernel)
    raise TypeError(f"{type(term).__name__} is costed by the fabric, not by a device")
