"""Softmax attention on a TPU: flash kernels whose softmax runs on the vector unit and usually sets the time.

A 128-wide head fills half of a 256-wide array, and a decode step streams each sequence's pages by DMA, one sequence
ahead.
"""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.tpu import hardware as hw
from simulator.ops.work import Attention
from simulator.profiles.kernels import Kernel
from simulator.profiles.tpu import Tpu


def attention_cost(term: Attention, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of an attention kernel.

    T = start + first load + max(steps, stream, vector, arrays) + unhidden x the arrays. Kernel values may say what an
    untuned kernel adds: sequence_start (s per sequence), stream_share and first_share (of the HBM rate), score_ops,
    row_ops, history (cost of a score against cached pages over one against new tokens).
    """
    e, values = device.efficiencies, kernel.values
    batch, q, kv, heads = np.broadcast_arrays(*(hw.array(x) for x in (term.batch, term.q_len, term.kv_len, term.heads)))
    single = q <= 1
    moved = np.asarray(term.bytes_read() + term.bytes_written(), dtype=np.float64)
    bandwidth = device.memory.bandwidth
    stream = moved / (bandwidth * np.where(single, values.get("stream_share", e.hbm_stream), e.hbm_stream))
    first = moved / np.maximum(batch, 1.0) / (bandwidth * values.get("first_share", e.hbm_stream))
    begin = values.get("start", e.kernel_start) + np.where(single & (batch > 0), first, 0.0)
    pairs = np.asarray(term.pairs(), dtype=np.float64)
    old = np.where(term.causal, batch * q * np.maximum(kv - q, 0.0), 0.0) * ~single
    weighted = pairs + (values.get("history", 1.0) - 1.0) * np.minimum(old, pairs)
    score = np.where(single, e.score_ops, values.get("score_ops", e.score_ops))
    row = np.where(single, e.row_ops, values.get("row_ops", e.row_ops))
    vector = heads * (batch * q * row + weighted * score) / hw.vector_rate(device)
    arrays = _array_seconds(term, pairs, device)
    steps = batch * values.get("sequence_start", 0.0)
    body = np.maximum.reduce([stream + np.where(single, steps, 0.0), vector, arrays]) + e.unhidden * np.minimum(
        arrays, vector
    )
    busy = {"mxu": arrays, "vpu": vector, "hbm": moved / hw.stream_rate(device), "launch": begin + steps}
    return Cost(begin + body, busy, {"hbm": moved})


def _array_seconds(term: Attention, pairs: np.ndarray, device: Tpu) -> np.ndarray:
    """Array seconds of both products; head widths are padded to the array.

    Query rows of a KV head to a sublane tile.
    """
    side = device.core.mxu_dim
    q, heads, kv_heads = (hw.array(x) for x in (term.q_len, term.heads, term.kv_heads))
    rows = np.maximum(q * heads / np.maximum(kv_heads, 1.0), 1e-30)
    stretch = hw.padded(rows, hw.SUBLANES) / rows
    width = hw.padded(term.qk_dim, side) + hw.padded(term.v_dim, side)
    return np.asarray(2.0 * pairs * heads * stretch * width / hw.matrix_rate(device, term.rate))
