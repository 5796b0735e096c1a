"""Decode attention: few queries against a long key/value cache, split over the cache where that is faster.

One block serves (request, KV head, row tile of the packed query group, KV split). A block pays a fixed time (launch,
query load, first key tile, write-back) and then one step per key tile; a step is bound by the bytes one block can
stream or by its matrix products. Large batches at tiny context cost fixed times in waves; long contexts cost the bytes
of the cache.
"""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention_tiles import feed_clocks, row_tiles, tile_clocks
from simulator.devices.gpu.blocks import Floats, floats, smooth_max, stream_seconds, waves
from simulator.devices.gpu.memory import resident_share
from simulator.devices.gpu.tiles import tensor_rate
from simulator.ops.work import Attention
from simulator.profiles.dtypes import format_of
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

SPLITS = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128], dtype=np.float64)
CAST_BYTES = 3.0  # a 16-bit element is read and written in 8 bits
PARTIAL_BYTES = 8.0  # a split writes an fp32 partial result and reads it back


def decode_cost(term: Attention, gpu: Gpu, kernel: Kernel, warm: bool = False) -> Cost:
    """Cost of one decode attention kernel with the passes it makes over the new tokens.

    Source: FlashDecoding (split-KV) schedule; fixed time per block and choice of the split fitted on public rows.
    """
    eff = gpu.efficiencies
    sms, clock = floats(gpu.core.sms), floats(gpu.core.max_clock)
    units, key_tiles, step = _blocks(term, gpu, kernel)
    fixed, launch = floats(kernel.values["block_fixed"]), floats(launch_seconds(kernel))
    moved = io_bytes(term)
    hit = resident_share(moved, gpu) if warm else shared_rows(term, gpu)
    memory = stream_seconds(moved, gpu, hit)
    options = SPLITS[float(kernel.traits.get("max_splits", SPLITS[-1])) >= SPLITS]
    s = options.reshape((-1,) + (1,) * np.ndim(units * key_tiles))
    chain = waves(units * s, sms) * (fixed + np.ceil(key_tiles / s) * step)
    output = floats(term.batch) * floats(term.q_len) * floats(term.heads) * floats(term.v_dim)
    combine = np.where(s > 1, eff.split_combine + stream_seconds(PARTIAL_BYTES * s * output, gpu, 1.0), 0.0)
    total = smooth_max(chain, memory, eff.attention_overlap) + combine
    core = np.min(total, axis=0)
    side = side_seconds(term, gpu, kernel)
    busy = {
        "tensor": floats(term.flops()) / (floats(tensor_rate(gpu, term.rate)) * sms * clock),
        "hbm": memory + side,
        "launch": launch + 0.0 * core,
        "block": units * fixed / sms,
    }
    return Cost(launch + core + side, busy, {"hbm": moved * (1.0 - hit), "l2": moved})


def _blocks(term: Attention, gpu: Gpu, kernel: Kernel) -> tuple[Floats, Floats, Floats]:
    """(blocks before splitting, key tiles of each, seconds of a key tile)."""
    q_len, tile = floats(term.q_len), float(kernel.traits.get("key_tile", 128))
    groups = np.maximum(floats(term.kv_heads), 1.0)
    packed = q_len * floats(term.heads) / groups
    tiles = row_tiles(kernel, "64")
    rows = floats(tiles[-1])
    for height in reversed(tiles):
        rows = np.where(packed <= height, height, rows)
    blocks = np.ceil(packed / rows)
    units = floats(term.batch) * floats(term.kv_heads) * blocks
    math = tile_clocks(term, gpu, kernel, rows, tile)
    feed = feed_clocks(term, gpu, kernel, tile, blocks)
    return units, _key_tiles(term, tile), np.maximum(math, feed) / gpu.core.max_clock


def _key_tiles(term: Attention, tile: float) -> Floats:
    """Key tiles that a request walks: the whole cache, or the window and the tile it starts inside."""
    window, tiles = floats(term.window), np.ceil(floats(term.kv_len) / tile)
    inside = np.ceil((window + floats(term.q_len) - 1.0) / tile) + 1.0
    return np.where(window > 0, np.minimum(inside, tiles), tiles)


def shared_rows(term: Attention, gpu: Gpu) -> Floats:
    """Share of gathered bytes another query already brought into L2; 0 unless the pool the rows lie in is known."""
    pool = floats(term.pool_bytes())
    first = np.minimum(pool / np.maximum(floats(term.kv_bytes()), 1.0), 1.0)
    return np.where(pool > 0, (1.0 - first) * resident_share(pool, gpu), 0.0)


def io_bytes(term: Attention) -> Floats:
    """Bytes touched once: queries, cache, outputs."""
    return floats(term.bytes_read()) + floats(term.bytes_written())


def launch_seconds(kernel: Kernel) -> float:
    """Fixed time of a call: its own kernels, and the passes that cast new tokens to 8 bits before it.

    Trait casts: those passes; 1 casts the queries, 3 the queries, keys and values.
    """
    return kernel.values["launch_floor"] + float(kernel.traits.get("casts", 0)) * kernel.values.get("cast_launch", 0.0)


def side_seconds(term: Attention, gpu: Gpu, kernel: Kernel) -> Floats:
    """Passes over q, k and v of the new tokens (split, rotate, cast, cache write) and casts of the cache.

    side_bytes: bytes moved per q, k, v element of the new tokens; cast_bytes: bytes per cached element where the kernel
    converts the cache before use (trait casts_cache, true unless stated). Trait casts: see ``launch_seconds``.
    """
    v = kernel.values
    cast = v.get("cast_bytes", 0.0) if kernel.traits.get("casts_cache", True) else 0.0
    new = floats(term.batch) * floats(term.q_len)
    stored = floats(term.qk_dim) + (0.0 if term.kv_shared else floats(term.v_dim))
    queries, keys = new * floats(term.heads) * floats(term.qk_dim), new * floats(term.kv_heads) * stored
    cached = floats(term.kv_bytes()) / format_of(term.kv_dtype).bytes
    casts = float(kernel.traits.get("casts", 0))
    narrowed = (queries * min(casts, 1.0) + keys * (casts > 1.0)) * CAST_BYTES
    moved = (queries + keys) * v.get("side_bytes", 0.0) + cached * cast + narrowed
    return moved / (gpu.efficiencies.kv_stream * gpu.memory.bandwidth)
