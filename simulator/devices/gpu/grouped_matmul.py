"""Time of a grouped (per-expert) matrix product on an NVIDIA GPU: ragged groups, empty experts, a weight each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from simulator.devices.cost import Cost
from simulator.devices.gpu.matmul import launch_seconds, quantize_seconds
from simulator.devices.gpu.memory import resident_share
from simulator.devices.gpu.tiles import epilogue_seconds, kernel_tiles, step_seconds, tile_rates
from simulator.ops.work import GroupedMatmul
from simulator.profiles.dtypes import format_of
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

Array = npt.NDArray[np.float64]

WHOLE_WAVES = 6.0  # beyond this many waves ragged groups keep the SMs out of step: no common last wave
HALF_WAVE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """Rows per expert of each product, reduced to what tiles need.

    rows: all rows. active: experts with at least one. blocks(height): row blocks of that height over all experts.
    """

    rows: Array
    active: Array
    blocks: Callable[[float], Array]


def even_loads(rows: Array, active: Array) -> Loads:
    """Every active expert gets the same number of rows."""
    each = rows / np.maximum(active, 1.0)
    return Loads(rows, active, lambda height: active * np.ceil(each / height))


def spread_loads(rows: Array, active: Array, relative: Array) -> Loads:
    """Active experts with uneven rows: ``relative`` are those of equally many experts over their mean, (products, J)."""
    each = (rows / np.maximum(active, 1.0))[:, None] * relative
    return Loads(rows, active, lambda height: active * np.ceil(each / height).mean(axis=1))


def ragged_loads(loads: Array) -> Loads:
    """loads: rows per expert, shape (products, experts)."""
    return Loads(
        loads.sum(axis=1),
        (loads > 0).sum(axis=1).astype(np.float64),
        lambda height: np.ceil(loads / height).sum(axis=1),
    )


def grouped_matmul_cost(term: GroupedMatmul, gpu: Gpu, kernel: Kernel) -> Cost:
    """Cost of ``term`` run by ``kernel``; dimensions may be arrays, ``term.loads`` then has one more axis."""
    dims = [np.asarray(d, dtype=np.float64) for d in (term.rows, term.active, term.n, term.k, term.spread)]
    loads = None if term.loads is None else np.asarray(term.loads, dtype=np.float64)
    shape = np.broadcast_shapes(*(d.shape for d in dims), () if loads is None else loads.shape[:-1])
    rows, active, n, k, spread = (np.broadcast_to(d, shape).ravel() for d in dims)
    if loads is None and spread.any():
        held = spread_loads(rows, active, replace(term, spread=spread).relative_rows())
    elif loads is None:
        held = even_loads(rows, active)
    else:
        held = ragged_loads(np.broadcast_to(loads, (*shape, loads.shape[-1])).reshape(-1, loads.shape[-1]))
    core = grouped_core(held, n, k, term, gpu, kernel)
    launch = np.full_like(rows, launch_seconds(gpu, kernel))
    quantize = quantize_seconds(held.rows * k, gpu, kernel) if term.quantizes_a else np.zeros_like(rows)
    busy = {**core.busy, "launch": launch, "quantize": quantize}
    return Cost(
        (launch + quantize + core.seconds).reshape(shape),
        {name: np.reshape(v, shape) for name, v in busy.items()},
        {name: np.reshape(v, shape) for name, v in core.bytes.items()},
    )


def grouped_core(held: Loads, n: Array, k: Array, term: GroupedMatmul, gpu: Gpu, kernel: Kernel) -> Cost:
    """The product itself, without launch or quantisation; only the formats of ``term`` are read.

    core = waves (steps x step + epilogue + starts); time = min over tiles of (core^p + hbm^p)^(1/p).
    """
    e, tiles = gpu.efficiencies, kernel_tiles(kernel)
    rates = tile_rates(gpu, kernel, term.rate, term.a_dtype, term.b_dtype)
    blocks = np.stack([held.blocks(float(height)) for height in tiles.rows], axis=1)
    mean_rows = held.rows[:, None] / np.maximum(blocks, 1.0)
    step, math, feed = step_seconds(tiles, rates, mean_rows, n[:, None])
    finish = epilogue_seconds(tiles, rates) + e.wave_start + kernel.values.get("tile_start", 0.0)
    steps = np.ceil(k[:, None] / rates.step)
    grid = blocks * np.ceil(n[:, None] / tiles.cols)
    share = grid / gpu.core.sms
    waves = np.where(share < WHOLE_WAVES, np.ceil(share), share + HALF_WAVE)
    core = waves * (steps * step + finish)

    weights = held.active * n * k * rates.b_bytes
    passing = held.rows * (k * rates.a_bytes + n * format_of(term.out_dtype).bytes)
    bytes_hbm = weights + passing * (1.0 - resident_share(passing + weights, gpu))
    hbm = bytes_hbm / (gpu.memory.bandwidth * e.hbm_stream * kernel.values.get("memory_share", 1.0))
    p = e.overlap_exponent
    total = (core**p + (hbm**p)[:, None]) ** (1.0 / p)
    row, pick = np.arange(len(n)), np.argmin(total, axis=1)
    done = (waves * steps)[row, pick]
    l2 = grid[row, pick] * k * (mean_rows * rates.a_bytes + tiles.cols * rates.b_bytes)[row, pick]
    busy = {"tensor": done * math[pick], "operand_feed": done * feed[row, pick], "hbm": hbm}
    return Cost(total[row, pick], busy, {"hbm": bytes_hbm, "l2": l2})
