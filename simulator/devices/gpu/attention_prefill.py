"""Prefill attention: many queries a request; one block per tile of query rows walks its visible keys.

Tile counts follow the causal mask and the window. A key tile costs its two matrix products plus the exponentials the
pipeline cannot hide; blocks are spread over SMs, and the longest block sets the tail.
"""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention_decode import io_bytes, launch_seconds, side_seconds
from simulator.devices.gpu.attention_tiles import key_tile_counts, row_tiles, tile_clocks
from simulator.devices.gpu.blocks import Floats, floats, smooth_max, stream_seconds
from simulator.devices.gpu.memory import resident_share
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

KEY_STEP = 16.0  # a key tile shrinks to the context rounded up to the instruction's granularity


def prefill_cost(term: Attention, gpu: Gpu, kernel: Kernel, warm: bool = False) -> Cost:
    """Cost of one prefill attention kernel with everything it does beside (QKV split, cache write).

    Source: FlashAttention-2/3 work partition (block = request x head x row tile); fixed time per block and tail
    measured.
    """
    eff, v = gpu.efficiencies, kernel.values
    sms, clock = floats(gpu.core.sms), floats(gpu.core.max_clock)
    fixed, launch = floats(v["block_fixed"]), floats(launch_seconds(kernel))
    candidates = [_blocks_seconds(term, gpu, kernel, rows) for rows in row_tiles(kernel, "64 128")]
    compute = np.min(np.stack(np.broadcast_arrays(*[c[0] for c in candidates])), axis=0)
    blocks = candidates[-1][1]
    moved = io_bytes(term)
    hit = resident_share(moved, gpu) if warm else floats(0.0)
    memory = stream_seconds(moved, gpu, hit)
    side = side_seconds(term, gpu, kernel)
    seconds = launch + smooth_max(compute, memory, eff.attention_overlap) + side
    busy = {
        "tensor": floats(term.flops()) / (sms * clock * eff.attention_tensor),
        "hbm": memory + side,
        "launch": launch + 0.0 * compute,
        "block": blocks * fixed / sms,
    }
    return Cost(seconds, busy, {"hbm": moved * (1.0 - hit), "l2": moved})


def _blocks_seconds(term: Attention, gpu: Gpu, kernel: Kernel, rows: float) -> tuple[Floats, Floats]:
    sms, clock = floats(gpu.core.sms), floats(gpu.core.max_clock)
    heads, groups = floats(term.heads), np.maximum(floats(term.kv_heads), 1.0)
    shared = np.maximum(heads / groups, 1.0)
    packed = shared if kernel.traits.get("packs_group", False) else np.ones_like(shared)
    keys = np.minimum(float(kernel.traits.get("key_tile", 128)), np.ceil(floats(term.kv_len) / KEY_STEP) * KEY_STEP)
    keys = np.maximum(keys, KEY_STEP)
    per_head, mean, most = key_tile_counts(term, rows, packed, keys)
    edge = kernel.values.get("window_tiles", 0.0)
    extra = np.where(floats(term.window) > 0, np.where(floats(term.kv_len) > floats(term.window), edge, 0.0), 0.0)
    step = tile_clocks(term, gpu, kernel, rows, keys) / clock
    fixed = floats(kernel.values["block_fixed"])
    blocks = floats(term.batch) * heads / packed * per_head
    longest = (most + extra) * step + fixed
    total = blocks * ((mean + extra) * step + fixed) / sms
    tail = kernel.traits.get("tail", 0.5) * longest
    return np.where(blocks > 0, np.maximum(longest, total + np.where(blocks > sms, tail, 0.0)), 0.0), blocks
