"""Attention on an NVIDIA GPU: picks the schedule a kernel follows and costs it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention_decode import decode_cost
from simulator.devices.gpu.attention_prefill import prefill_cost
from simulator.devices.gpu.blocks import Floats, floats
from simulator.devices.gpu.sparse_attention import sparse_cost
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

SHORT_QUERY = 8.0  # new tokens a request up to which a kernel of unstated schedule splits the cache


def attention_cost(term: Attention, gpu: Gpu, kernel: Kernel, warm: bool = False) -> Cost:
    """Cost of one attention kernel.

    The kernel's trait ``schedule`` says how it cuts the work: split_kv (decode), query_tiles (prefill) or query_rows
    (gathered keys); without it the term decides. warm: the operands were just used and may sit in L2 (a replayed
    benchmark); in a model step the cache is cold. ValueError on an unknown schedule.
    """
    if "pad_heads" in kernel.traits:
        term = replace(term, heads=padded_heads(term.heads, kernel))
    schedule = str(kernel.traits.get("schedule", "")) or _schedule(term)
    if schedule == "split_kv":
        return decode_cost(term, gpu, kernel, warm)
    if schedule == "query_tiles":
        return prefill_cost(term, gpu, kernel, warm)
    if schedule == "query_rows":
        return sparse_cost(term, gpu, kernel, warm)
    raise ValueError(f"attention schedule {schedule!r}: expected split_kv, query_tiles or query_rows")


def padded_heads(heads: object, kernel: Kernel) -> Floats:
    """Heads a kernel computes: a multiple of the trait pad_heads, unless there are at most pad_above of them."""
    count, tile = floats(heads), float(kernel.traits.get("pad_heads", 1))
    few = count <= float(kernel.traits.get("pad_above", 0))
    return floats(np.where(few, count, np.ceil(count / tile) * tile))


def _schedule(term: Attention) -> str:
    if term.selected:
        return "query_rows"
    return "split_kv" if float(np.max(np.asarray(term.q_len), initial=0.0)) <= SHORT_QUERY else "query_tiles"
