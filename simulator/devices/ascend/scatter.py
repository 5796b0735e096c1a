"""Expert routing and cache scatters on the vector cores of an Ascend device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.ascend.vector import memory_seconds
from simulator.devices.cost import Cost
from simulator.ops.tensor import Dim
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel

SORT_ALONE_ROWS = 8192  # up to this many keys one core sorts alone


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """Sort of (token, expert) pairs by expert and expansion of the token rows.

    pairs: pairs sorted. tokens: distinct rows read. kept: expanded rows written. cols: elements of a row. size: bytes
    of an element. padded: every expert gets a fixed capacity. quantised: "" (no), "static" or "dynamic" (scales per
    row).
    """

    pairs: Dim
    tokens: Dim
    kept: Dim
    cols: Dim
    size: float
    padded: bool = False
    quantised: str = ""


def routing_cost(work: Routing, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of expert routing.

    Values: start, sort_alone and sort_spread (s per pair sorted by one core, by all), padded_pair (s per pair placed
    into capacity slots), static_clocks and dynamic_clocks (vector clocks per element quantised on the way).
    """
    v = kernel.values
    pairs, kept, cols = hw.array(work.pairs), hw.array(work.kept), hw.array(work.cols)
    sort = np.where(pairs <= SORT_ALONE_ROWS, pairs * v.get("sort_alone", 0.0), pairs * v.get("sort_spread", 0.0))
    sort = sort + (pairs * v.get("padded_pair", 0.0) if work.padded else 0.0)
    out = 1.0 if work.quantised else work.size
    traffic = cols * (hw.array(work.tokens) * work.size + kept * out)
    memory = memory_seconds(traffic, traffic, device)
    clocks = kept * cols * v.get(f"{work.quantised}_clocks", 0.0)
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
