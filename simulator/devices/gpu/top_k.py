"""Top-k selection of fp32 scores: one block per row scans it; rows are spread over the SMs."""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.blocks import floats, l2_rate, smooth_max, waves
from simulator.ops.work import TopK
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel


def top_k_cost(term: TopK, gpu: Gpu, kernel: Kernel, warm: bool = False) -> Cost:
    """Cost of one selection kernel.

    Kernel values: launch_floor; row_short (s of a row that has no more than k scores and is copied); row_fixed (s of a
    row that must be searched); scan_rate (bytes per clock at which a block scans a row); rows_per_sm (blocks at once).
    Source: radix selection reads a row about twice.
    """
    v, eff = kernel.values, gpu.efficiencies
    rows, cols = floats(term.rows), floats(term.cols)
    launch = floats(v.get("launch_floor", 0.0))
    stream = v.get("scan_rate", eff.block_stream) * gpu.core.max_clock
    searched = v.get("row_fixed", 0.0) + 4.0 * term.passes * cols / stream
    each = np.where(cols <= floats(term.k), v.get("row_short", 0.0), searched)
    chain = waves(rows, gpu.core.sms * v.get("rows_per_sm", 1.0)) * each
    read, written = floats(term.bytes_read()), floats(term.bytes_written())
    hbm = eff.kv_stream * gpu.memory.bandwidth
    cached = (read / max(term.passes, 1.0) <= eff.l2_survival * gpu.memory.l2_capacity) & warm
    memory = np.where(cached, read / l2_rate(gpu), read / hbm) + written / hbm
    seconds = launch + smooth_max(chain, memory, eff.attention_overlap)
    return Cost(seconds, {"vector": chain, "hbm": memory, "launch": launch + 0.0 * chain}, {"hbm": read + written})
