"""Attention over gathered keys: each query token reads its own selected rows of the cache, one block per token and
head tile.

The kernel has no split over keys: a block walks all its slots, and a wave of blocks costs the same whatever is in the
cache.
"""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention_decode import io_bytes, shared_rows, side_seconds
from simulator.devices.gpu.attention_tiles import feed_clocks, tile_clocks
from simulator.devices.gpu.blocks import floats, smooth_max, stream_seconds, waves
from simulator.devices.gpu.tiles import tensor_rate
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel


def sparse_cost(term: Attention, gpu: Gpu, kernel: Kernel, warm: bool = False) -> Cost:
    """Cost of a gather-attention kernel; ``term.kv_len`` selected keys per query, padded to whole key tiles.

    Trait head_tile: heads are padded to a multiple of it. warm: the selected rows sit in L2.
    Source: FlashMLA sparse prefill schedule (docs/20250929-hopper-fp8-sparse-deep-dive.md).
    """
    eff, clock, sms = gpu.efficiencies, gpu.core.max_clock, gpu.core.sms
    tile, rows = float(kernel.traits.get("key_tile", 64)), float(kernel.traits.get("head_tile", 64))
    tokens = floats(term.batch) * floats(term.q_len)
    per_token = np.ceil(floats(term.heads) / rows)
    blocks = tokens * per_token
    tiles = np.ceil(floats(term.kv_len) / tile)
    fixed, launch = floats(kernel.values["block_fixed"]), floats(kernel.values["launch_floor"])
    step = (
        np.maximum(tile_clocks(term, gpu, kernel, rows, tile), feed_clocks(term, gpu, kernel, tile, per_token)) / clock
    )
    chain = waves(blocks, sms) * (fixed + tiles * step)
    moved = io_bytes(term)
    hit = 1.0 if warm else shared_rows(term, gpu)
    memory = stream_seconds(moved, gpu, hit)
    side = side_seconds(term, gpu, kernel)
    seconds = launch + smooth_max(chain, memory, eff.attention_overlap) + side
    busy = {
        "tensor": floats(term.flops()) / (tensor_rate(gpu, term.rate) * sms * clock),
        "hbm": memory + side,
        "launch": launch + 0.0 * chain,
        "block": blocks * fixed / sms,
    }
    return Cost(seconds, busy, {"hbm": moved * (1.0 - hit), "l2": moved})
