"""Row and key tiles of fused attention kernels: how many there are and how long one takes."""

from __future__ import annotations

import numpy as np

from simulator.devices.gpu.blocks import Floats, floats
from simulator.devices.gpu.tiles import kept_share, tensor_rate
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

SAMPLES = 64  # positions at which block lengths are evaluated; exact up to that many blocks a request


def row_tiles(kernel: Kernel, default: str) -> tuple[float, ...]:
    """Row-tile heights a kernel may use, smallest first: trait ``row_tiles``, "64 128" or one number."""
    return tuple(float(rows) for rows in str(kernel.traits.get("row_tiles", default)).split())


def issue_rate(term: Attention, gpu: Gpu, kernel: Kernel) -> float:
    """FLOP per clock and SM that the two products of an attention kernel keep up.

    16-bit: attention_tensor of the peak. 8-bit products realise only a share (eight_bit_gain) of the extra rate,
    because the softmax between them does not speed up.
    """
    base, peak = tensor_rate(gpu, "bf16"), tensor_rate(gpu, term.rate)
    eff = gpu.efficiencies
    gain = 1.0 + kernel.values.get("eight_bit_gain", 0.3) * eff.eight_bit_attention * (peak / base - 1.0)
    kept = base * gain * eff.attention_tensor * kernel.values.get("tensor_ratio", 1.0)
    share = min(kept_share(kept / peak, gpu), gpu.core.tensor_clock / gpu.core.max_clock)
    return peak * share


def tile_clocks(term: Attention, gpu: Gpu, kernel: Kernel, rows: object, keys: object) -> Floats:
    """Clocks of one key tile in one block: both products, and the exponentials the pipeline does not hide."""
    width = floats(term.qk_dim) + floats(term.v_dim)
    scores = floats(rows) * floats(keys)
    math = 2.0 * scores * width / issue_rate(term, gpu, kernel)
    return math + gpu.efficiencies.exposed_exponential * scores / gpu.core.exp_per_clk


def feed_clocks(term: Attention, gpu: Gpu, kernel: Kernel, keys: object, blocks: object = 1.0) -> Floats:
    """Clocks in which one of the ``blocks`` of a query token reads the stored bytes of a key tile.

    Whole pages stream at block_stream. Selected tokens are gathered one by one: value gather_stream (bytes per clock and
    SM); blocks of one cluster (trait cluster) share them.
    """
    nbytes = floats(keys) * floats(term.kv_bytes_token())
    gather = kernel.values.get("gather_stream", 0.0)
    if term.selected and gather > 0:
        return floats(nbytes / (gather * np.clip(floats(blocks), 1.0, float(kernel.traits.get("cluster", 1)))))
    return floats(nbytes / (gpu.efficiencies.block_stream * kernel.values.get("stream_ratio", 1.0)))


def key_tile_counts(term: Attention, rows: object, group: object, tile: object) -> tuple[Floats, Floats, Floats]:
    """(blocks per request and head, their mean key tiles, the most key tiles of one block).

    A block holds ``rows`` rows of (query, packed head) with ``group`` heads packed, hence queries first..last; it
    walks tiles of ``tile`` keys from the window start of ``first`` to the last key visible to ``last``.
    """
    q, kv, window = floats(term.q_len), floats(term.kv_len), floats(term.window)
    per, tile = floats(rows) / floats(group), floats(tile)
    blocks = np.ceil(q / per)
    shape = np.broadcast_shapes(blocks.shape, kv.shape, window.shape, tile.shape)
    j = np.arange(SAMPLES, dtype=np.float64).reshape((-1,) + (1,) * len(shape))
    index = np.where(blocks <= SAMPLES, j, np.floor((j + 0.5) * blocks / SAMPLES))
    used = (index < blocks) & (q > 0)
    first, last = np.floor(index * per), np.minimum(np.ceil((index + 1.0) * per), q)
    if term.causal:
        end, start = kv - q + last, kv - q + first + 1.0 - window
    else:
        end, start = kv + 0.0 * last, kv - window + 0.0 * first
    start = np.where(window > 0, np.maximum(start, 0.0), 0.0)
    tiles = np.where(used, np.maximum(np.ceil(end / tile) - np.floor(start / tile), 0.0), 0.0)
    count = np.maximum(used.sum(axis=0), 1.0)
    return blocks + np.zeros(shape), tiles.sum(axis=0) / count, tiles.max(axis=0)
