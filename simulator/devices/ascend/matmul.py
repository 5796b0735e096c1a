"""Matrix products on the cube cores of an Ascend device.

A kernel cuts the output into tiles, cores take tiles in rounds, and each core overlaps operand reads from L2 (MTE2),
the cube and the store of the finished tile (Fixpipe); HBM feeds L2. The tile is searched, not tabulated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.ascend.tiles import Tiles, fitting
from simulator.devices.cost import Cost
from simulator.ops.tensor import Number
from simulator.ops.work import GroupedMatmul, Matmul
from simulator.profiles.ascend import Ascend
from simulator.profiles.dtypes import format_of
from simulator.profiles.kernels import Kernel

SPLITS = (1, 2, 4, 8)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Ragged set of products that share n and k, scenarios flattened to one axis of length R.

    rows, count: rows of each distinct product and how many products have them, shape (R, groups). n, k: shape (R,).
    a, b, out: bytes per element. shape: the scenario axes as they came.
    """

    rows: np.ndarray
    count: np.ndarray
    n: np.ndarray
    k: np.ndarray
    a: float
    b: float
    out: float
    rate: str
    shape: tuple[int, ...]

    def a_bytes(self) -> np.ndarray:
        """Left operands, read once."""
        return np.asarray((self.rows * self.count).sum(-1) * self.k * self.a)

    def b_bytes(self) -> np.ndarray:
        """Right operands of the products that have rows."""
        return np.asarray((self.count * (self.rows > 0)).sum(-1) * self.n * self.k * self.b)

    def out_elements(self) -> np.ndarray:
        """Elements written."""
        return np.asarray((self.rows * self.count).sum(-1) * self.n)


def product_of(term: Matmul | GroupedMatmul) -> Product:
    """The products of a work term, group axis last."""
    n, k = hw.array(term.n), hw.array(term.k)
    a, b, out = (format_of(d).bytes for d in (term.a_dtype, term.b_dtype, term.out_dtype))
    if isinstance(term, GroupedMatmul) and term.loads is not None:
        rows = np.asarray(term.loads, dtype=np.float64)
        shape = np.broadcast_shapes(rows.shape[:-1], n.shape, k.shape)
        rows = np.broadcast_to(rows, (*shape, rows.shape[-1])).reshape(-1, rows.shape[-1])
        count = np.ones_like(rows)
    else:
        m, each = _even(term)
        relative = term.relative_rows() if isinstance(term, GroupedMatmul) else np.ones(1)
        shape = np.broadcast_shapes(m.shape, each.shape, n.shape, k.shape, relative.shape[:-1])
        parts = relative.shape[-1]
        rows = np.broadcast_to(m[..., None] * relative, (*shape, parts)).reshape(-1, parts)
        count = np.broadcast_to(each[..., None] / parts, (*shape, parts)).reshape(-1, parts)
    n, k = (np.broadcast_to(x, shape).ravel() for x in (n, k))
    return Product(rows, count, n, k, a, b, out, term.rate, shape)


def _even(term: Matmul | GroupedMatmul) -> tuple[np.ndarray, np.ndarray]:
    """(rows of one product, number of products) when all products are alike."""
    if isinstance(term, Matmul):
        return hw.array(term.m), hw.array(term.batch)
    rows = hw.array(term.rows)
    active = np.clip(hw.array(term.active), 0.0, rows)
    return np.where(active > 0, rows / np.maximum(active, 1e-30), 0.0), active


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Seconds of a matmul between its start and its end, by what they are spent on."""

    seconds: np.ndarray
    core: np.ndarray
    cube: np.ndarray
    panels: np.ndarray
    store: np.ndarray
    hbm: np.ndarray
    hbm_bytes: np.ndarray


def body(p: Product, device: Ascend, kernel: Kernel, from_hbm: np.ndarray | float = 1.0) -> Body:
    """Fastest tiling of ``p``: per candidate, rounds of cores against the HBM stream.

    from_hbm: share of the operands that is not in L2 when the kernel starts.

    Source: DaVinci queue structure (MTE2, cube, Fixpipe overlap); Ascend 910B / 950 platform files for the rates.
    """
    traits = kernel.traits
    splits = (1,) if traits.get("split_k") is False else SPLITS
    tiles = fitting(device, splits, single=traits.get("tiles") == "largest")
    core, parts = _core_time(p, device, kernel, tiles)
    moved = _hbm_bytes(p, device, kernel, tiles) * from_hbm
    reduction = np.where(tiles.split[..., 0] > 1, p.out_elements() * 4.0 * tiles.split[..., 0], 0.0)
    hbm = moved / (hw.hbm_rate(device) * _stream_share(p, device, kernel))
    phi = device.efficiencies.unhidden
    total = np.maximum(core, hbm) + phi * np.minimum(core, hbm) + reduction / (2.0 * hw.hbm_rate(device))
    best = np.argmin(total, axis=0)[None]

    def pick(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.take_along_axis(np.broadcast_to(x, total.shape), best, axis=0)[0]).reshape(np.shape(p.n))

    cube, panels, store = (pick(x) for x in parts)
    return Body(pick(total), pick(core), cube, panels, store, pick(hbm), pick(moved))


def _core_time(
    p: Product, device: Ascend, kernel: Kernel, t: Tiles
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Seconds of the busiest core, and its (cube, panel, store) seconds, shape (candidates, ...)."""
    n, rows = p.n[..., None], p.rows
    per_product = np.ceil(rows / t.rows) * np.ceil(n / t.columns)
    tiles = (per_product * p.count).sum(-1) * t.split[..., 0]
    rounds = np.ceil(tiles / device.core.aic)
    if kernel.traits.get("rounds") == "rebalanced":
        rounds = np.maximum(tiles / device.core.aic, np.minimum(tiles, 1.0))
    tm, tn, s = (x[..., 0] for x in (t.rows, t.columns, t.split))
    inner = np.ceil(p.k / s / _inner_block(device, p.rate)) * _inner_block(device, p.rate)
    cube = 2.0 * tm * tn * inner * hw.cube_seconds_per_flop(device, p.rate)
    tall = np.minimum(tm, np.ceil(rows.max(-1) / hw.CUBE_SIDE) * hw.CUBE_SIDE)
    slow_a, slow_b = _misalignment(p, device, kernel)
    weights = hw.stream_rate(device) if kernel.traits.get("weights") == "fractal" else hw.panel_rate(device)
    panels = p.k / s * (tall * p.a * slow_a / hw.panel_rate(device) + tn * p.b * slow_b / weights)
    store = tm * tn * p.out / hw.write_rate(device)
    core = rounds * np.maximum(np.maximum(cube, panels), store) + store
    return core, (rounds * cube, rounds * panels, rounds * store)


def _misalignment(p: Product, device: Ascend, kernel: Kernel) -> tuple[np.ndarray, np.ndarray]:
    """Slow-down of left and right panel reads: rows of a are k long, rows of b are n long unless stored transposed."""
    if kernel.traits.get("aligned"):
        return np.ones_like(p.k), np.ones_like(p.k)
    b_row = p.k if kernel.traits.get("b_layout") == "transposed" else p.n
    return hw.misalignment(device, p.k * _payload(p.a)), hw.misalignment(device, b_row * _payload(p.b))


def _payload(size: float) -> float:
    """Bytes per element without block scales, which lie in a tensor of their own."""
    return float(np.floor(2.0 * size) / 2.0)


def _inner_block(device: Ascend, rate: str) -> float:
    """Inner block k0 of one cube clock: flop_per_clk / (2 x 16 x 16)."""
    return hw.cube_flop_per_clk(device, rate) / (2.0 * hw.CUBE_SIDE**2)


def _hbm_bytes(p: Product, device: Ascend, kernel: Kernel, t: Tiles) -> np.ndarray:
    """HBM traffic: operands once, output beyond half of L2, and panels read again when they outgrow L2."""
    l2 = device.memory.l2_capacity
    a, b = p.a_bytes(), p.b_bytes()
    spilled = np.maximum(0.0, p.out_elements() * p.out - l2 / 2.0)
    tm, tn = t.rows[..., 0], t.columns[..., 0]
    rows = p.rows.max(-1)
    cores = float(device.core.aic)
    high = 1.0 if kernel.traits.get("swizzle") is False else np.sqrt(cores * tn / tm)
    passes = np.maximum(np.ceil(rows / (tm * high)) - 1.0, 0.0)
    missing = np.clip((b - l2 / 2.0) / (l2 / 2.0), 0.0, 1.0)
    single = p.count.sum(-1) <= 1
    return np.asarray(a + b + spilled + np.where(single, missing * b * passes, 0.0))


def _stream_share(p: Product, device: Ascend, kernel: Kernel) -> np.ndarray | float:
    """Share of the HBM rate a row-major 8-bit weight stream reaches (layout conversion on the way)."""
    if p.b <= 1.0 and p.rate == "int8" and not kernel.traits.get("native_layout"):
        return device.efficiencies.eight_bit_stream
    return 1.0


def start(device: Ascend, kernel: Kernel) -> float:
    """Launch and start spread of the kernel's class plus what the stack adds."""
    e = device.efficiencies
    base = e.mixed_start if kernel.traits.get("cores") == "mixed" else e.cube_start
    return base + kernel.values.get("extra_start", 0.0)


def shaped(cost: Cost, shape: tuple[int, ...]) -> Cost:
    """``cost`` with its scenarios back on the axes they came on."""

    def back(x: Number) -> np.ndarray:
        return np.broadcast_to(np.asarray(x, dtype=np.float64), (int(np.prod(shape)),)).reshape(shape)

    busy = {unit: back(seconds) for unit, seconds in cost.busy.items()}
    return Cost(back(cost.seconds), busy, {level: back(moved) for level, moved in cost.bytes.items()})


def as_cost(b: Body, begin: np.ndarray | float, extra: np.ndarray | float = 0.0) -> Cost:
    """A Cost from a body, a start and additional seconds."""
    busy = {"cube": b.cube, "mte2": b.panels, "fixpipe": b.store, "hbm": b.hbm, "launch": begin + 0.0 * b.hbm}
    return Cost(begin + b.seconds + extra, busy, {"hbm": b.hbm_bytes})
