"""Cost of one term on a device of any vendor: dispatch to the core model of its maker."""

from __future__ import annotations

from simulator.devices.cost import Cost
from simulator.devices.peaks import Device
from simulator.ops.work import Attention, Elementwise, Gather, GroupedMatmul, IndexScores, Matmul, Term, TopK
from simulator.profiles.ascend import Ascend
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.profiles.tpu import Tpu


def kernel_cost(term: Term, device: Device, kernel: Kernel) -> Cost:
    """Cost of ``term`` run by ``kernel`` on one rank of ``device``. TypeError: a term that belongs to the fabric."""
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
    from simulator.devices import gpu as core

    if isinstance(term, Matmul):
        return core.matmul_cost(term, gpu, kernel)
    if isinstance(term, GroupedMatmul):
        return core.grouped_matmul_cost(term, gpu, kernel)
    if isinstance(term, Attention):
        return core.attention_cost(term, gpu, kernel)
    if isinstance(term, IndexScores):
        return core.index_scores_cost(term, gpu, kernel)
    if isinstance(term, TopK):
        return core.top_k_cost(term, gpu, kernel)
    if isinstance(term, Elementwise):
        return core.elementwise_cost(term, gpu, kernel)
    if isinstance(term, Gather):
        return core.gather_cost(term, gpu, kernel)
    raise TypeError(f"{type(term).__name__} is costed by the fabric, not by a device")
