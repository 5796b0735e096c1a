"""Time of a dense matrix product on an NVIDIA GPU: tiles in waves, split-k, HBM and L2 traffic, launch floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.devices.cost import Cost
from simulator.devices.gpu.memory import Operands, cold_bytes, reread_bytes, resident_share
from simulator.devices.gpu.tiles import (
    TileRates,
    TileSet,
    epilogue_seconds,
    kernel_tiles,
    step_seconds,
    tile_rates,
)
from simulator.ops.work import Matmul
from simulator.profiles.dtypes import format_of
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

Array = npt.NDArray[np.float64]

SPLITS = np.array([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0])
PARTIAL_BYTES = 8.0  # a split writes an fp32 partial sum and reads it back
QUANTIZE_BYTES = 3.0  # one pass: a 16-bit element read, an 8-bit one written


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """m, n, k and batch of each product as equally long float arrays."""

    m: Array
    n: Array
    k: Array
    batch: Array


def _shape(term: Matmul) -> tuple[Shape, tuple[int, ...]]:
    dims = np.broadcast_arrays(*[np.asarray(d, dtype=np.float64) for d in (term.m, term.n, term.k, term.batch)])
    flat = [np.atleast_1d(d).ravel() for d in dims]
    return Shape(*flat), dims[0].shape


def matmul_cost(term: Matmul, gpu: Gpu, kernel: Kernel, weight_copies: float = np.inf) -> Cost:
    """Cost of ``term`` run by ``kernel``; dimensions may be arrays. See ``cold_bytes`` for weight_copies.

    time = launch + quantisation + min over (tile, split) of [ (core^p + hbm^p)^(1/p) + split ],
    core = waves (steps x step + epilogue + wave start), p = overlap exponent.
    """
    s, shape = _shape(term)
    rates = tile_rates(gpu, kernel, term.rate, term.a_dtype, term.b_dtype)
    operands = Operands(
        s.batch * s.m * s.k * rates.a_bytes,
        s.batch * s.n * s.k * rates.b_bytes,
        s.batch * s.m * s.n * format_of(term.out_dtype).bytes,
    )
    best = _search(s, operands, gpu, kernel, rates, weight_copies)
    quantize = quantize_seconds(s.batch * s.m * s.k, gpu, kernel) if term.quantizes_a else np.zeros_like(s.m)
    launch = np.full_like(s.m, launch_seconds(gpu, kernel))
    busy = {"tensor": best.tensor, "operand_feed": best.feed, "hbm": best.hbm, "launch": launch, "quantize": quantize}
    traffic = {"hbm": best.hbm_bytes, "l2": best.l2_bytes}
    seconds = launch + quantize + best.seconds
    return Cost(seconds.reshape(shape), _like(busy, shape), _like(traffic, shape))


def _like(values: dict[str, Array], shape: tuple[int, ...]) -> dict[str, float | Array]:
    return {name: value.reshape(shape) for name, value in values.items()}


def launch_seconds(gpu: Gpu, kernel: Kernel) -> float:
    """Fixed time of a product: trait ``graph_nodes`` nodes of a captured graph, and the kernel's own ``launch_floor``."""
    nodes = float(kernel.traits.get("graph_nodes", 0.0))
    return nodes * gpu.efficiencies.graph_node + kernel.values.get("launch_floor", 0.0)


def quantize_seconds(elements: Array, gpu: Gpu, kernel: Kernel) -> Array:
    """Pass(es) that turn 16-bit activations into the kernel's format: start + max(bytes / L2, bytes / HBM).

    A vector pass like any other: it loads and stores at ``vector_l2``. Trait ``quantize_bytes``: bytes moved an element,
    3 where an element is read once, 5 or 6 where its scale takes a first reading. A conversion slower than that runs at
    ``quantize_rate`` elements per clock and SM.
    """
    e = gpu.efficiencies
    moved = elements * float(kernel.traits.get("quantize_bytes", QUANTIZE_BYTES))
    stream = moved * (1.0 - resident_share(moved, gpu)) / (gpu.memory.bandwidth * e.hbm_stream)
    through_sms = moved / (e.vector_l2 * gpu.core.sms * gpu.core.max_clock)
    rate = kernel.values.get("quantize_rate", 0.0) * gpu.core.sms * gpu.core.tensor_clock
    convert = elements / rate if rate > 0.0 else np.zeros_like(elements)
    return np.asarray(kernel.values.get("quantize_start", 0.0) + np.maximum(np.maximum(convert, through_sms), stream))


@dataclass(frozen=True, slots=True, eq=False)
class Best:
    """The fastest (tile, split) of each product: seconds of the whole, of each unit, and bytes."""

    seconds: Array
    tensor: Array
    feed: Array
    hbm: Array
    hbm_bytes: Array
    l2_bytes: Array


def _search(s: Shape, x: Operands, gpu: Gpu, kernel: Kernel, rates: TileRates, weight_copies: float) -> Best:
    e = gpu.efficiencies
    tiles: TileSet = kernel_tiles(kernel)
    splits = SPLITS if kernel.traits.get("split_k", False) else SPLITS[:1]
    step, math, feed = step_seconds(tiles, rates, s.m[:, None], s.n[:, None])
    finish = epilogue_seconds(tiles, rates)[None, :, None] + e.wave_start + kernel.values.get("tile_start", 0.0)

    m, n, k, batch = (d[:, None, None] for d in (s.m, s.n, s.k, s.batch))
    split = splits[None, None, :]
    grid = batch * np.ceil(m / tiles.rows[None, :, None]) * np.ceil(n / tiles.cols[None, :, None])
    steps = np.ceil(k / rates.step / split)
    waves = np.ceil(grid * split / gpu.core.sms)
    core = waves * (steps * step[:, :, None] + finish)

    bandwidth = gpu.memory.bandwidth * e.hbm_stream * kernel.values.get("memory_share", 1.0)
    cold = cold_bytes(x, gpu, weight_copies)
    dram = (cold.a + cold.b + cold.out)[:, None] + reread_bytes(x, tiles, s.m, s.n, gpu)
    hbm = dram / bandwidth
    p = e.overlap_exponent
    partial = PARTIAL_BYTES * (split - 1.0) * (s.batch * s.m * s.n)[:, None, None] / (2.0 * bandwidth)
    reduce = np.where(split > 1.0, kernel.values.get("split_start", 0.0) + partial, 0.0)
    total = (core**p + hbm[:, :, None] ** p) ** (1.0 / p) + reduce

    flat = total.reshape(len(s.m), -1)
    pick = np.argmin(flat, axis=1)
    row = np.arange(len(s.m))
    t, q = np.unravel_index(pick, total.shape[1:])
    done = (waves * steps)[row, t, q]
    l2 = (
        grid[row, t, 0]
        * np.ceil(s.k / rates.step)
        * rates.step
        * (tiles.rows * rates.a_bytes + tiles.cols * rates.b_bytes)[t]
    )
    return Best(flat[row, pick], done * math[t], done * feed[row, t], hbm[row, t], dram[row, t], l2)
