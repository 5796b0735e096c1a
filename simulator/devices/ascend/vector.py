"""Vector passes and gathers on the vector cores of an Ascend device."""

from __future__ import annotations

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.cost import Cost
from simulator.ops.work import Elementwise, Gather
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel

RESIDENCY = 4.0  # steepness of the fall from L2 to HBM
OVERLAP = 2.7  # exponent of partly overlapped resources: 1 adds, large takes the longer
EXP_OPS = 8.0  # vector operations per transcendental


def memory_seconds(moved: np.ndarray, footprint: np.ndarray, device: Ascend) -> np.ndarray:
    """Seconds of moving ``moved`` bytes over a ``footprint``: from L2 while that fits, from HBM beyond.

    The share served by L2 falls smoothly as the footprint outgrows ``l2_resident`` times L2.
    """
    e, m = device.efficiencies, device.memory
    l2 = device.core.aiv * device.core.clock * e.vector_l2
    hbm = m.bandwidth * e.hbm_vector
    share = 1.0 / (1.0 + (footprint / (e.l2_resident * m.l2_capacity)) ** RESIDENCY)
    return np.asarray(moved * (share / np.maximum(l2, hbm) + (1.0 - share) / hbm))


def elementwise_cost(term: Elementwise, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of a vector pass: start, then memory against issued instructions.

    Traits: packed_columns. Kernel values: element_clocks (clocks a vector core spends per element), row_clocks (per
    row), traffic (bytes really moved over bytes declared), start, kernel_start (per further kernel). Without them the
    clocks follow from the term's operation counts.
    """
    e, v = device.efficiencies, kernel.values
    moved = np.asarray(hw.array(term.bytes_read()) + hw.array(term.bytes_written()), dtype=np.float64)
    counted = (term.ops + EXP_OPS * term.exps) / device.core.vector_op_per_clk
    elements = np.asarray(term.elements(), dtype=np.float64)
    per_clock = device.core.aiv * device.core.clock
    issue = elements * v.get("element_clocks", counted) / per_clock
    packed = float(kernel.traits.get("packed_columns", 0))  # shorter rows share one issue
    share = np.minimum(1.0, hw.array(term.cols) / packed) if packed else 1.0
    per_core = np.ceil(hw.array(term.rows) / device.core.aiv)
    rows = per_core * share * v.get("row_clocks", 0.0) / device.core.clock
    memory = memory_seconds(moved * v.get("traffic", 1.0), moved, device)
    body = (memory**OVERLAP + issue**OVERLAP) ** (1.0 / OVERLAP) + rows
    begin = v.get("start", e.vector_start) + (term.kernels - 1) * v.get("kernel_start", e.vector_start)
    busy = {"vector": issue + rows, "hbm": memory, "launch": begin + 0.0 * memory}
    return Cost(begin + body, busy, {"hbm": moved})


def gather_cost(term: Gather, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of moving scattered rows: each vector core issues its rows one after the other.

    Kernel values: start, row_seconds (issue of one row on one core), row_rate (B/s of one core inside a row).
    """
    e, v = device.efficiencies, kernel.values
    rows = hw.array(term.rows)
    per_core = np.ceil(rows / device.core.aiv)
    row_bytes = hw.array(term.row_bytes)
    rate = v.get("row_rate", device.core.clock * e.vector_l2)
    issue = per_core * (v.get("row_seconds", e.gather_row / device.core.clock) + row_bytes / rate)
    moved = np.asarray(hw.array(term.bytes_read()) + hw.array(term.bytes_written()), dtype=np.float64)
    memory = memory_seconds(moved, moved, device)
    begin = v.get("start", e.vector_start)
    busy = {"vector": issue, "hbm": memory, "launch": begin + 0.0 * memory}
    return Cost(begin + np.maximum(issue, memory), busy, {"hbm": moved})
