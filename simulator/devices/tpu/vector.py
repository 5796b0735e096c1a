"""Vector passes of a TPU: fused elementwise code on the VPU against the HBM stream, and plain copies."""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.tpu import hardware as hw
from simulator.ops.work import Elementwise
from simulator.profiles.kernels import Kernel
from simulator.profiles.tpu import Tpu

EXP_OPS = 8.0  # vector operations per transcendental (range reduction around the EUP push and pop)


def elementwise_cost(term: Elementwise, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of a fused vector pass; operands small enough for VMEM still come from HBM once."""
    e = device.efficiencies
    moved = np.asarray(hw.array(term.bytes_read()) + hw.array(term.bytes_written()), dtype=np.float64)
    ops = np.asarray(term.vector_ops(), dtype=np.float64) + EXP_OPS * np.asarray(term.exponentials(), dtype=np.float64)
    vector = ops / (hw.vector_rate(device) * e.vector)
    transfer = moved / hw.copy_rate(device)
    begin = e.kernel_start * term.kernels
    body = np.maximum(vector, transfer) + e.unhidden * np.minimum(vector, transfer)
    return Cost(begin + body, {"vpu": vector, "hbm": transfer, "launch": begin + 0.0 * transfer}, {"hbm": moved})


def copy_cost(size: np.ndarray | float, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of copying ``size`` bytes inside HBM (read and written once)."""
    moved = 2.0 * hw.array(size)
    transfer = moved / hw.copy_rate(device)
    begin = kernel.values.get("start", device.efficiencies.kernel_start)
    return Cost(begin + transfer, {"hbm": transfer, "launch": begin + 0.0 * transfer}, {"hbm": moved})
