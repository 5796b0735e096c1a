"""Expert routing and cache scatters on the vector cores of an Ascend device."""

from __future__ import annotations

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.ascend.vector import memory_seconds
from simulator.devices.cost import Cost
from simulator.ops.tensor import Dim
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel

SORT_ALONE_ROWS = 8192  # up to this many keys one core sorts alone


def routing_cost(
    rows: Dim, moved_rows: Dim, row_bytes: Dim, out_bytes: Dim, quantised: bool, device: Ascend, kernel: Kernel
) -> Cost:
    """Seconds of sorting ``rows`` (token, expert) pairs by expert and writing ``moved_rows`` expanded rows.

    row_bytes / out_bytes: bytes of a row read and written. Values: start, sort_alone and sort_spread (s per pair on one
    core, on all of them), quantised_clocks (per byte read, when the rows are quantised on the way).
    """
    v = kernel.values
    pairs, moved = hw.array(rows), hw.array(moved_rows)
    sort = np.where(pairs <= SORT_ALONE_ROWS, pairs * v.get("sort_alone", 0.0), pairs * v.get("sort_spread", 0.0))
    traffic = moved * (hw.array(row_bytes) + hw.array(out_bytes))
    memory = memory_seconds(traffic, traffic, device)
    clocks = moved * hw.array(row_bytes) * (v.get("quantised_clocks", 0.0) if quantised else 0.0)
    issue = clocks / (device.core.aiv * device.core.clock)
    begin = v.get("start", device.efficiencies.vector_start)
    busy = {"vector": sort + issue, "hbm": memory, "launch": begin + 0.0 * memory}
    return Cost(begin + sort + memory + issue, busy, {"hbm": traffic})


def scatter_cost(rows: Dim, row_bytes: Dim, tensors: int, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of writing ``rows`` rows of each of ``tensors`` tensors into a layout of ``burst`` byte pieces.

    A core issues one burst after the other (burst_seconds); all together reach burst_rate (B/s).
    """
    v = kernel.values
    burst = float(kernel.traits.get("burst", 32))
    pieces = np.ceil(hw.array(row_bytes) / burst)
    total = hw.array(rows) * tensors * pieces
    cores = np.clip(hw.array(rows) * tensors, 1.0, device.core.aiv)
    issue = total / cores * v.get("burst_seconds", 0.0)
    spread = total * burst / v.get("burst_rate", device.memory.bandwidth)
    begin = v.get("start", device.efficiencies.vector_start)
    traffic = total * burst * 2.0
    busy = {"vector": issue, "l2": spread, "hbm": traffic / device.memory.bandwidth, "launch": begin + 0.0 * issue}
    return Cost(begin + np.maximum(issue, spread), busy, {"hbm": traffic})
