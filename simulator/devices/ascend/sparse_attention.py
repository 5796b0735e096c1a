"""Sparse attention on an Ascend device: index scores with top-k, and attention over gathered rows."""

from __future__ import annotations

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.cost import Cost
from simulator.ops.work import Attention, IndexScores, TopK
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel


def selected_attention_cost(
    term: Attention, device: Ascend, kernel: Kernel, pool_bytes: np.ndarray | float = np.inf
) -> Cost:
    """Seconds of attention over the selected keys of each query token: one token per core and round.

    The vector cores fetch rows one by one (``gather_row`` clocks each, ``far_row`` times that if the ``pool_bytes``
    they lie in exceed L2) while the cube works on earlier rows; the longer of the two sets the round.
    """
    e, f, cores = device.efficiencies, device.core.clock, float(device.core.aic)
    batch, q, kv, heads = np.broadcast_arrays(*(hw.array(x) for x in (term.batch, term.q_len, term.kv_len, term.heads)))
    rounds = np.ceil(batch * q / cores)
    far = np.where(np.asarray(pool_bytes) > device.memory.l2_capacity, kernel.values.get("far_row", 1.0), 1.0)
    row_bytes = np.asarray(term.kv_bytes_token(), dtype=np.float64)
    gather = kv * np.maximum(e.gather_row * far / f, row_bytes / hw.stream_rate(device))
    padded = np.ceil(heads / hw.CUBE_SIDE) * hw.CUBE_SIDE
    per_flop = hw.cube_seconds_per_flop(device, term.rate)
    cube = 2.0 * padded * kv * (hw.array(term.qk_dim) + hw.array(term.v_dim)) * per_flop
    lanes = device.core.vector_op_per_clk * device.core.aiv / device.core.aic * f
    vector = heads * kv * e.score_ops / lanes
    task = np.maximum(gather, cube + vector)
    moved = np.asarray(term.bytes_read() + term.bytes_written(), dtype=np.float64)
    hbm = moved / hw.hbm_rate(device)
    begin = kernel.values.get("start", e.mixed_start)
    seconds = begin + np.maximum(rounds * task, hbm)
    busy = {"mte2": rounds * gather, "cube": rounds * cube, "vector": rounds * vector, "hbm": hbm, "launch": begin}
    return Cost(seconds, busy, {"hbm": moved})


def index_scores_cost(term: IndexScores, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of the index scores; with ``key_clocks`` in the kernel's values the top-k is fused into it.

    Requests are dealt to cores whole; only when there are fewer requests than cores are the tokens of one request
    spread.
    """
    f, cores = device.core.clock, float(device.core.aic)
    batch, q, kv = np.broadcast_arrays(*(hw.array(x) for x in (term.batch, term.q_len, term.kv_len)))
    spread = np.clip(np.floor(cores / np.maximum(batch, 1.0)), 1.0, np.maximum(q, 1.0))
    tokens = np.ceil(q / spread)
    rounds = np.where(batch > 0, np.ceil(batch * spread / cores), 0.0)
    flops = 2.0 * tokens * kv * hw.array(term.heads) * hw.array(term.dim)
    cube = flops * hw.cube_seconds_per_flop(device, term.rate)
    sorting = kv * kernel.values.get("key_clocks", 0.0) / f
    # queries alone in a request (long prefill) are spread over all cores like any matmul
    whole = hw.array(term.flops()) * hw.cube_seconds_per_flop(device, term.rate) / cores
    task = kernel.values.get("task_start", 0.0)
    moved = np.asarray(term.bytes_read() + term.bytes_written(), dtype=np.float64)
    hbm = moved / hw.hbm_rate(device)
    begin = kernel.values.get("start", device.efficiencies.mixed_start)
    body = np.where(q > 1024, whole + sorting, rounds * (task + cube + sorting))
    busy = {"cube": rounds * cube, "vector": rounds * sorting, "hbm": hbm, "launch": begin}
    return Cost(begin + np.maximum(np.maximum(body, whole), hbm), busy, {"hbm": moved})


def topk_cost(term: TopK, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of an exact top-k by hardware sort: rows dealt to the vector cores.

    Source: CANN lightning-indexer guide: 32-element sorts and 4-way merges, about 4.36 S + 3.32 k elements a row.
    """
    rows, cols, k = np.broadcast_arrays(*(hw.array(x) for x in (term.rows, term.cols, term.k)))
    elements = 4.36 * cols + 3.32 * np.minimum(k, cols)
    rounds = np.ceil(rows / device.core.aiv)
    sort = rounds * elements / device.core.clock
    moved = np.asarray(term.bytes_read() / term.passes + term.bytes_written(), dtype=np.float64)
    hbm = moved / hw.hbm_rate(device)
    begin = device.efficiencies.vector_start
    busy = {"vector": sort, "hbm": hbm, "launch": begin}
    return Cost(begin + np.maximum(sort, hbm), busy, {"hbm": moved})
