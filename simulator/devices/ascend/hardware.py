"""Rates of an Ascend device in SI units: what the core models divide by."""

from __future__ import annotations

import numpy as np

from simulator.ops.tensor import Dim, Number
from simulator.profiles.ascend import Ascend

CUBE_SIDE = 16  # the cube multiplies 16 x k0 by k0 x 16 blocks each clock
ROW_ALIGNMENT = 512  # bytes; panel rows that are a multiple of it are read at full rate

# A rate class the cube lacks runs at the next wider one.
WIDER = {"fp4": ("fp8", "int8", "bf16"), "fp8": ("int8", "bf16"), "int4": ("int8", "bf16"), "int8": ("fp8", "bf16")}


def array(value: Dim) -> np.ndarray:
    """``value`` as float64."""
    return np.asarray(value, dtype=np.float64)


def cube_flop_per_clk(device: Ascend, rate: str) -> float:
    """FLOP per clock of one cube core for a rate class, or for the next wider class the cube has."""
    rates = device.core.cube_flop_per_clk
    for name in (rate, *WIDER.get(rate, ())):
        if name in rates:
            return rates[name]
    return min(rates.values())


def cube_seconds_per_flop(device: Ascend, rate: str) -> float:
    """Seconds one cube core takes per FLOP when the pipe is full."""
    return 1.0 / (cube_flop_per_clk(device, rate) * device.core.clock * device.efficiencies.cube)


def hbm_rate(device: Ascend) -> float:
    """HBM bytes per second sustained while the cores stream operands."""
    return device.memory.bandwidth * device.efficiencies.hbm


def panel_rate(device: Ascend) -> float:
    """L2 bytes per second of one cube core reading panels of a row-major matrix."""
    return device.memory.l2_read * device.core.clock * device.efficiencies.l2_panel


def stream_rate(device: Ascend) -> float:
    """L2 bytes per second of one cube core reading long contiguous runs."""
    return device.memory.l2_read * device.core.clock * device.efficiencies.l2_stream


def write_rate(device: Ascend) -> float:
    """L2 bytes per second one cube core writes."""
    return device.memory.l2_write * device.core.clock * device.efficiencies.l2_panel


def vector_rate(device: Ascend) -> float:
    """fp32 vector operations per second of all vector cores."""
    return device.core.aiv * device.core.vector_op_per_clk * device.core.clock


def misalignment(device: Ascend, row_bytes: Number) -> np.ndarray:
    """Slow-down of panel reads whose rows are ``row_bytes`` long.

    Grows with each halving of the alignment below 512 B.
    """
    whole = np.round(array(row_bytes)).astype(np.int64)
    aligned = np.gcd(whole, ROW_ALIGNMENT)
    return np.asarray(1.0 + device.efficiencies.misaligned * np.log2(ROW_ALIGNMENT / np.maximum(aligned, 1)))
