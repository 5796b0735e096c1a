"""Rates of a TPU in SI units, and the share of a chip one core-device owns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.ops.tensor import Dim, Number
from simulator.profiles.tpu import Tpu

# A rate class the arrays lack runs at the next wider one (operands are widened on the way in).
_WIDER = {"fp4": ("fp8", "int8", "bf16"), "fp8": ("bf16",), "int4": ("int8", "fp8", "bf16"), "int8": ("fp8", "bf16")}
FULL_PRECISION_PASSES = 6.0  # bf16 products that make one fp32 product at highest precision
EIGHT_BIT_SUBLANES, SUBLANES = 32, 16  # rows of one packed vector register tile, 8-bit and 16-bit


def array(value: Dim) -> np.ndarray:
    """``value`` as float64."""
    return np.asarray(value, dtype=np.float64)


def one_core(device: Tpu) -> Tpu:
    """The profile of one core-device: its share of compute, memory, VMEM, SparseCores and power of the chip."""
    n = device.core.core_devices
    if n == 1:
        return device
    core = replace(
        device.core,
        core_devices=1,
        tensorcores=max(1, device.core.tensorcores // n),
        peak={k: v / n for k, v in device.core.peak.items()},
        vector_op_per_clk=device.core.vector_op_per_clk / n,
    )
    m = device.memory
    memory = replace(
        m,
        capacity=m.capacity / n,
        bandwidth=m.bandwidth / n,
        vmem_capacity=m.vmem_capacity / n,
        vmem_bandwidth=m.vmem_bandwidth / n,
    )
    power = replace(device.power, tdp=device.power.tdp / n, idle=device.power.idle / n)
    sparse = replace(device.sparsecore, count=device.sparsecore.count // n)
    return replace(device, unit="core", core=core, memory=memory, power=power, sparsecore=sparse)


def matrix_rate(device: Tpu, rate: str) -> float:
    """Sustained FLOP/s of the systolic arrays for a rate class, or for the next wider class they have."""
    peak = device.core.peak
    if rate in ("fp32", "tf32"):
        return peak["bf16"] / FULL_PRECISION_PASSES * device.efficiencies.mxu
    for name in (rate, *_WIDER.get(rate, ())):
        if name in peak:
            return peak[name] * device.efficiencies.mxu
    return peak["bf16"] * device.efficiencies.mxu


def stream_rate(device: Tpu) -> float:
    """HBM bytes per second while compute streams operands."""
    return device.memory.bandwidth * device.efficiencies.hbm_stream


def copy_rate(device: Tpu) -> float:
    """HBM bytes per second of a pass that reads and writes."""
    return device.memory.bandwidth * device.efficiencies.hbm_copy


def vector_rate(device: Tpu) -> float:
    """fp32 operations per second of the vector units."""
    return device.core.vector_op_per_clk * device.core.clock


def padded(value: Dim, multiple: Number) -> np.ndarray:
    """``value`` rounded up to a multiple; 0 stays 0."""
    return np.asarray(np.ceil(array(value) / multiple) * multiple)
