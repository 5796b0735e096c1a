"""Time of a fused expert layer of one rank on an NVIDIA GPU: two grouped products and the passes around them.

Stacks differ in what a rank works on when experts are spread over ranks: only its own rows, every slot of the tokens
that reach it, or its own rows plus a look at the tiles of all the others' experts. Traits of the kernel say which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.devices.cost import Cost
from simulator.devices.gpu.grouped_matmul import Loads, grouped_core
from simulator.ops.work import GroupedMatmul
from simulator.profiles.dtypes import format_of
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

Array = npt.NDArray[np.float64]

SKIPPED_ROWS, SKIPPED_COLS = 64.0, 128.0  # tile a kernel that schedules foreign experts passes over
READ_AGAIN = 0.5  # share of a pass's bytes that the pass before it wrote: they need not come from memory
STARTS = ("launch_floor", "quantize_start", "route_start")  # the layer's, its quantising passes', its separate router's
HOST_EXPONENT = 6.0  # host and device run side by side in an eager stream; the slower sets the pace


@dataclass(frozen=True, slots=True, eq=False)
class FusedMoe:
    """One rank's share of expert layers, one entry per scenario.

    tokens: over all ranks; held: rows of the local experts; spread: rows if every slot of a token that reaches the rank
    is computed; hidden, inter: widths (inter of this rank); topk, experts, ranks: as routed.
    """

    tokens: Array
    held: Loads
    spread: Array
    hidden: Array
    inter: Array
    topk: Array
    experts: Array
    ranks: Array
    a_dtype: str
    b_dtype: str
    rate: str


def fused_moe_cost(moe: FusedMoe, gpu: Gpu, kernel: Kernel, host_factor: float = 1.0) -> Cost:
    """Cost of ``moe`` run by ``kernel``; host_factor: slowness of the CPU that launches it (eager kernels only).

    device = launch + experts held x start + skipped tiles + gate/up + down + passes; an eager kernel then takes
    (host^6 + device^6)^(1/6).
    """
    held = _computed(moe, kernel)
    up = _product(moe, held, 2.0 * moe.inter, moe.hidden, gpu, kernel)
    down = _product(moe, held, moe.hidden, moe.inter, gpu, kernel)
    v = kernel.values
    experts = np.ceil(moe.experts / moe.ranks) * v.get("expert_start", 0.0)
    launch = sum(v.get(name, 0.0) for name in STARTS) + experts + _skipped_seconds(moe, gpu, kernel)
    moved = _pass_bytes(moe, held, v)
    passes = _pass_seconds(moved, gpu)
    wire = _wire_seconds(moe, gpu, v)
    inner = np.maximum(up.seconds + down.seconds + passes, wire)
    seconds = launch + inner
    host = v.get("host_floor", 0.0) * host_factor
    if host > 0.0:
        seconds = (seconds**HOST_EXPONENT + host**HOST_EXPONENT) ** (1.0 / HOST_EXPONENT)
    both = up + down
    busy = {**both.busy, "vector": passes, "launch": launch, "host": np.full_like(launch, host)}
    if "exchange_share" in v:
        busy["nvlink"] = wire
    return Cost(seconds, busy, {**both.bytes, "hbm": both.bytes["hbm"] + moved})


def _computed(moe: FusedMoe, kernel: Kernel) -> Loads:
    """Rows the products run over: local ones, or all slots of the tokens that reach the rank."""
    if kernel.traits.get("rows", "local") != "touched":
        return moe.held
    rows = np.maximum(moe.spread, moe.held.rows)
    extra = rows - moe.held.rows
    return Loads(rows, moe.held.active, lambda height: moe.held.blocks(height) + extra / height)


def _product(moe: FusedMoe, held: Loads, n: Array, k: Array, gpu: Gpu, kernel: Kernel) -> Cost:
    term = GroupedMatmul(held.rows, moe.experts, held.active, n, k, moe.a_dtype, moe.b_dtype, rate=moe.rate)
    return grouped_core(held, n, k, term, gpu, kernel)


def _pass_bytes(moe: FusedMoe, held: Loads, values: Mapping[str, float]) -> Array:
    """Bytes of permute, activation, quantise and un-permute: 6 I + 4 H per row, over local rows and over all slots.

    Two widths of I are read and one written in 16 bit; H is read and written once before and once after.
    """
    row = 6.0 * moe.inter + 4.0 * moe.hidden
    slots = moe.tokens * moe.topk
    return (values.get("row_passes", 1.0) * held.rows + values.get("slot_passes", 0.0) * slots) * row


def _pass_seconds(moved: Array, gpu: Gpu) -> Array:
    """Passes stream at what the SMs load and store (``vector_l2``), or at memory's rate for what is not read again."""
    e = gpu.efficiencies
    through_sms = moved / (e.vector_l2 * gpu.core.sms * gpu.core.max_clock)
    return np.maximum(through_sms, (1.0 - READ_AGAIN) * moved / (gpu.memory.bandwidth * e.hbm_stream))


def _skipped_seconds(moe: FusedMoe, gpu: Gpu, kernel: Kernel) -> Array:
    """Tiles of other ranks' experts that a kernel schedules and leaves at once."""
    each = kernel.values.get("skipped_tile", 0.0) / gpu.core.tensor_clock  # clocks
    if each == 0.0:
        return np.zeros_like(moe.tokens)
    slots = moe.tokens * moe.topk
    blocks = np.maximum(np.minimum(moe.experts, slots), slots / SKIPPED_ROWS)
    columns = np.ceil(2.0 * moe.inter / SKIPPED_COLS) + np.ceil(moe.hidden / SKIPPED_COLS)
    return np.asarray(each * (1.0 - 1.0 / moe.ranks) * blocks * columns / gpu.core.sms)


def _wire_seconds(moe: FusedMoe, gpu: Gpu, values: Mapping[str, float]) -> Array:
    """Dispatch in the activation format and combine in 16 bit of the rank's rows, if the kernel exchanges them."""
    share = values.get("exchange_share", 0.0)
    if share == 0.0 or gpu.link.bandwidth == 0.0:
        return np.zeros_like(moe.tokens)
    away = moe.held.rows * (1.0 - 1.0 / moe.ranks)
    return np.asarray(away * moe.hidden * (format_of(moe.a_dtype).bytes + 2.0) / (gpu.link.bandwidth * share))
