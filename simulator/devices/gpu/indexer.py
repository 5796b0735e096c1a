"""Indexer logits (DeepSeek sparse attention): relu-weighted dot products of every query with every visible key.

Two schedules. ``row_blocks``: a block owns 128 tensor rows (4 queries of 32 index heads) and walks their keys alone,
so one long request is serial. ``paged_tiles``: 64-key tiles of a paged cache are dealt evenly to all SMs. In both a
tile costs its matrix product plus the relu and weighted sum on CUDA cores. Paged tiles are read and computed one after
the other; row blocks overlap both.
"""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.blocks import Floats, floats, l2_rate, smooth_max
from simulator.devices.gpu.tiles import kept_share, tensor_rate
from simulator.ops.work import IndexScores
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

FMA = 2.0  # datasheet vector rates count a multiply-add as two


def index_scores_cost(term: IndexScores, gpu: Gpu, kernel: Kernel, warm: bool = False) -> Cost:
    """Cost of one logits kernel.

    Kernel values: launch_floor; block_fixed (s per block or query row); tensor_ratio (share of the tensor peak);
    score_ops (CUDA-core instructions per score and index head); row_pair (s per million pairs of query rows: blocks
    that scan the list of rows). Source: DeepGEMM fp8_mqa_logits / fp8_paged_mqa_logits schedules.
    """
    v, eff = kernel.values, gpu.efficiencies
    paged = str(kernel.traits.get("schedule", "paged_tiles" if term.paged else "row_blocks")) == "paged_tiles"
    compute = _paged(term, gpu, kernel) if paged else _row_blocks(term, gpu, kernel)
    read, written = floats(term.bytes_read()), floats(term.bytes_written())
    spilled = 0.0 if paged else _spilled_bytes(term, gpu, kernel)
    moved = read + written + spilled
    hbm = gpu.memory.bandwidth * eff.kv_stream
    cached = (read + spilled <= eff.l2_survival * gpu.memory.l2_capacity) & warm
    memory = np.where(cached, read / l2_rate(gpu) + written / hbm, moved / hbm)
    launch = floats(v.get("launch_floor", 0.0))
    compute = smooth_max(compute, _row_seconds(term, gpu, kernel) if paged else 0.0, eff.attention_overlap)
    work = compute + memory if paged else smooth_max(compute, memory, eff.attention_overlap)
    seconds = launch + work
    tensor = floats(term.flops()) / (tensor_rate(gpu, term.rate) * gpu.core.sms * gpu.core.max_clock)
    return Cost(
        seconds, {"tensor": tensor, "vector": compute, "hbm": memory, "launch": launch + 0.0 * compute}, {"hbm": moved}
    )


def _clocks_per_pair(term: IndexScores, gpu: Gpu, kernel: Kernel) -> Floats:
    """Clocks of one (query, key) pair on one SM: product, then relu and weighted sum over the index heads."""
    heads, dim = floats(term.heads), floats(term.dim)
    share = min(kept_share(kernel.values.get("tensor_ratio", 0.6), gpu), gpu.core.tensor_clock / gpu.core.max_clock)
    math = 2.0 * heads * dim / (tensor_rate(gpu, term.rate) * share)
    lanes = gpu.core.vector_flop_per_clk["fp32"] / FMA
    return floats(math + heads * kernel.values.get("score_ops", 0.5) / lanes)


def _row_blocks(term: IndexScores, gpu: Gpu, kernel: Kernel) -> Floats:
    """Blocks of 128 tensor rows in one launch; short requests share a block, which then walks all their keys."""
    q, batch, kv = floats(term.q_len), floats(term.batch), floats(term.kv_len)
    queries = np.maximum(np.floor(float(kernel.traits.get("tensor_rows", 128)) / floats(term.heads)), 1.0)
    tile = float(kernel.traits.get("key_tile", 256))
    blocks = np.ceil(batch * q / queries)
    sharing = np.clip(queries / np.maximum(q, 1.0), 1.0, np.maximum(batch, 1.0))
    mean_kv = np.where(term.causal, np.maximum(kv - (q - np.minimum(q, queries)) / 2.0, 0.0), kv)
    step = tile * queries * _clocks_per_pair(term, gpu, kernel) / gpu.core.max_clock
    fixed = kernel.values.get("block_fixed", 0.0)
    longest = np.ceil(kv * sharing / tile) * step + fixed
    total = blocks * (np.ceil(mean_kv * sharing / tile) * step + fixed) / gpu.core.sms
    tail = np.where(blocks > gpu.core.sms, 0.5 * longest, 0.0)
    return np.where(blocks > 0, np.maximum(longest, total + tail), 0.0)


def _paged(term: IndexScores, gpu: Gpu, kernel: Kernel) -> Floats:
    """Key tiles of all query rows spread evenly over the SMs; at least one tile long."""
    q, batch, kv = floats(term.q_len), floats(term.batch), floats(term.kv_len)
    tile = float(kernel.traits.get("key_tile", 64))
    group = np.minimum(float(kernel.traits.get("query_group", 1)), np.maximum(q, 1.0))
    mean_kv = kv - (q - 1.0) / 2.0 if term.causal else kv
    step = tile * _clocks_per_pair(term, gpu, kernel) / gpu.core.max_clock
    rows = batch * np.ceil(q / group)
    tiles = rows * np.maximum(np.ceil(np.maximum(mean_kv, 0.0) / tile), 1.0)
    return np.where(rows > 0, np.maximum(tiles * step * group / gpu.core.sms, step), 0.0)


def _row_seconds(term: IndexScores, gpu: Gpu, kernel: Kernel) -> Floats:
    """Handling of the query rows beside the scores: per row, and per pair of rows where blocks scan the list of rows."""
    rows = floats(term.batch) * floats(term.q_len)
    scan = kernel.values.get("row_pair", 0.0) * (rows / 1e3) ** 2
    return np.asarray(rows * kernel.values.get("block_fixed", 0.0) / gpu.core.sms + scan, dtype=np.float64)


def _spilled_bytes(term: IndexScores, gpu: Gpu, kernel: Kernel) -> Floats:
    """Keys read again from memory because the keys of the resident blocks exceed L2."""
    q, kv = floats(term.q_len), floats(term.kv_len)
    queries = np.maximum(np.floor(float(kernel.traits.get("tensor_rows", 128)) / floats(term.heads)), 1.0)
    blocks = np.ceil(floats(term.batch) * q / queries)
    per_request = np.maximum(np.ceil(q / queries), 1.0)
    resident = np.maximum(np.minimum(blocks, gpu.core.sms) / per_request, np.minimum(1.0, floats(term.batch)))
    working = resident * kv * term.key_bytes
    share = np.maximum(1.0 - gpu.efficiencies.l2_survival * gpu.memory.l2_capacity / np.maximum(working, 1.0), 0.0)
    again = np.maximum(blocks * kv * term.key_bytes - floats(term.batch) * kv * term.key_bytes, 0.0)
    return again * share
