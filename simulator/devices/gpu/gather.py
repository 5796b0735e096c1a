"""Gathers and permutations on a GPU: scattered rows, each moved whole.

A row shorter than a DRAM burst still costs one; enough rows in flight hide the latency, so the rate is that of a vector
pass times the share of useful bytes in the bursts touched.
"""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.elementwise import MOST_BLOCKS, memory_seconds
from simulator.ops.tensor import Number
from simulator.ops.work import Gather
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

SECTOR = 32  # bytes of one L2 sector, the smallest unit that DRAM returns


def gather_cost(term: Gather, gpu: Gpu, kernel: Kernel) -> Cost:
    """Cost of moving ``rows`` scattered rows. Kernel values: launch (seconds), chain_clocks (between two accesses)."""
    rows = np.asarray(term.rows, dtype=np.float64)
    width = np.asarray(term.row_bytes, dtype=np.float64)
    read = rows * np.ceil(width / SECTOR) * SECTOR
    moved = read + np.asarray(term.bytes_written(), dtype=np.float64)
    memory, hbm = memory_seconds(moved, gpu)
    turn = kernel.values.get("chain_clocks", 0.0) + gpu.memory.dram_latency
    issue = turn * rows / (MOST_BLOCKS * gpu.core.sms * gpu.core.max_clock)
    dependent = (gpu.memory.dram_latency + gpu.memory.l2_latency) / gpu.core.max_clock
    launch = kernel.values.get("launch", 0.0)
    seconds = launch + np.where(rows > 0, dependent, 0.0) + np.maximum(memory, issue)
    plain = seconds if np.ndim(seconds) else float(seconds)
    busy: dict[str, Number] = {"launch": launch, "hbm": hbm / gpu.memory.bandwidth, "vector": issue}
    return Cost(plain, busy, {"hbm": hbm, "l2": moved - hbm})
