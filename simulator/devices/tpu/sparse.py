"""Gathers on a TPU's SparseCores, and sparse attention built on them."""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.tpu import hardware as hw
from simulator.devices.tpu.matmul import array_seconds, pipelined
from simulator.ops.work import Attention, Gather, IndexScores, TopK
from simulator.profiles.kernels import Kernel
from simulator.profiles.tpu import Tpu


def gather_rate(device: Tpu) -> float:
    """Bytes per second of scattered rows: SparseCore indirect DMA, or TensorCore DMAs at the same share without one."""
    return device.memory.bandwidth * device.efficiencies.sparse_gather


def gather_cost(term: Gather, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of moving scattered rows: program start plus bytes at the indirect-DMA rate."""
    moved = np.asarray(term.bytes_read() + term.bytes_written(), dtype=np.float64)
    scattered = np.asarray(term.bytes_read(), dtype=np.float64) / gather_rate(device)
    begin = kernel.values.get("start", device.efficiencies.kernel_start)
    transfer = moved / hw.copy_rate(device)
    busy = {"sparsecore": scattered, "hbm": transfer, "launch": begin + 0.0 * transfer}
    return Cost(begin + np.maximum(scattered, transfer), busy, {"hbm": moved})


def selected_attention_cost(term: Attention, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of attention over gathered keys: the gather, then both products on the arrays and the softmax."""
    e = device.efficiencies
    read, written = np.asarray(term.kv_bytes(), dtype=np.float64), np.asarray(term.bytes_written(), dtype=np.float64)
    gather = read / gather_rate(device)
    batch, q, kv, heads = np.broadcast_arrays(*(hw.array(x) for x in (term.batch, term.q_len, term.kv_len, term.heads)))
    qk, v = hw.array(term.qk_dim), hw.array(term.v_dim)
    arrays = array_seconds(heads, kv, qk, batch * q, device, term.rate) + array_seconds(
        heads, v, kv, batch * q, device, term.rate
    )
    vector = heads * batch * q * (kv * e.score_ops + e.row_ops) / hw.vector_rate(device)
    begin = e.kernel_start + e.sparse_start
    moved = np.asarray(term.bytes_read(), dtype=np.float64) + written
    body = np.maximum(gather, pipelined(np.maximum(arrays, vector), moved / hw.stream_rate(device), moved, device))
    busy = {"mxu": arrays, "vpu": vector, "sparsecore": gather, "hbm": moved / hw.copy_rate(device), "launch": begin}
    return Cost(begin + body, busy, {"hbm": moved})


def index_scores_cost(term: IndexScores, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of index scores: one product against the keys and the weighted sum on the vector unit."""
    arrays = np.asarray(term.flops(), dtype=np.float64) / hw.matrix_rate(device, term.rate)
    vector = np.asarray(term.vector_ops(), dtype=np.float64) / hw.vector_rate(device)
    moved = np.asarray(term.bytes_read() + term.bytes_written(), dtype=np.float64)
    transfer = moved / hw.stream_rate(device)
    begin = device.efficiencies.kernel_start
    body = pipelined(np.maximum(arrays, vector), transfer, moved, device)
    return Cost(begin + body, {"mxu": arrays, "vpu": vector, "hbm": transfer, "launch": begin}, {"hbm": moved})


def topk_cost(term: TopK, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of a top-k: compares on the vector unit against the scores read from HBM."""
    vector = np.asarray(term.vector_ops(), dtype=np.float64) / (hw.vector_rate(device) * device.efficiencies.vector)
    moved = np.asarray(term.bytes_read() / term.passes + term.bytes_written(), dtype=np.float64)
    transfer = moved / hw.stream_rate(device)
    begin = device.efficiencies.kernel_start
    busy = {"vpu": vector, "hbm": transfer, "launch": begin + 0.0 * transfer}
    return Cost(begin + np.maximum(vector, transfer), busy, {"hbm": moved})
