"""Output tiles of a matrix kernel and how long an SM takes for one of them.

A kernel covers its output with tiles of ``rows`` x ``cols`` elements, one tile a thread-block, and walks k in steps of
one 128-byte line of the operands. A step takes the longest of: the tensor-core instructions, feeding both operand
slices from L2 through shared memory, and the kernel's own pipeline latency.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from simulator.profiles.dtypes import format_of
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

Array = npt.NDArray[np.float64]

LINE_BYTES = 128  # one swizzled row of shared memory: what a k-step loads of each operand row
OUTPUT_BYTES = 2  # 16-bit outputs leave the epilogue


@dataclass(frozen=True, slots=True, eq=False)
class TileSet:
    """Candidate tile shapes of a kernel: rows (along m) and cols (along n), one entry per candidate."""

    rows: Array
    cols: Array


_SIDE = re.compile(r"(\d+)(?:\.\.(\d+)/(\d+))?")


def _side(text: str) -> list[int]:
    """Lengths named by one side of a tile: "128", or "64..256/64" for every 64th from 64 to 256."""
    found = _SIDE.fullmatch(text)
    if not found or int(found[1]) < 1 or (found[3] and int(found[3]) < 1):
        raise ValueError(f"tile side {text!r}: expected a length such as 128 or a range such as 64..256/64")
    return [int(found[1])] if not found[2] else list(range(int(found[1]), int(found[2]) + 1, int(found[3])))


@lru_cache(maxsize=64)
def tile_set(shapes: str, swap: bool) -> TileSet:
    """Candidates from names like "64x64 128x64..256/32" (rows x cols); ``swap`` adds the transposed shapes.

    ValueError names the part that is not a tile.
    """
    pairs: dict[tuple[int, int], None] = {}
    for name in shapes.split():
        sides = name.split("x")
        if len(sides) != 2:
            raise ValueError(f"tile shape {name!r}: expected ROWSxCOLS such as 128x256")
        for rows, cols in product(_side(sides[0]), _side(sides[1])):
            pairs[rows, cols] = None
            if swap:
                pairs[cols, rows] = None
    if not pairs:
        raise ValueError("no tile shapes: name at least one such as 128x128")
    table = np.array(list(pairs), dtype=np.float64)
    return TileSet(table[:, 0], table[:, 1])


def kernel_tiles(kernel: Kernel) -> TileSet:
    """Tile candidates of a kernel from its traits ``tiles`` and ``swap_operands``."""
    return tile_set(str(kernel.traits.get("tiles", "128x128")), bool(kernel.traits.get("swap_operands", False)))


@dataclass(frozen=True, slots=True)
class TileRates:
    """Per-SM rates behind a tile.

    flops: FLOP/s of the tensor cores; feed, drain: B/s of operands in and results out; step_latency: s per k-step;
    a_bytes, b_bytes: bytes per element; step: elements of k per k-step.
    """

    flops: float
    feed: float
    drain: float
    step_latency: float
    a_bytes: float
    b_bytes: float
    step: float


def tensor_share(gpu: Gpu, rate: str) -> float:
    """Share of the datasheet tensor rate a good kernel keeps up (power throttling included) for a rate class."""
    e = gpu.efficiencies
    if rate in ("fp4", "int4"):
        return e.tensor_4bit
    return e.tensor_8bit if rate in ("fp8", "int8") else e.tensor_16bit


def kept_share(share: float, gpu: Gpu) -> float:
    """Share of its tensor rate that ``gpu`` keeps up where a full part of the generation keeps ``share``.

    What keeps tensor cores waiting (loads, softmax, synchronisation) takes the same clocks on a part with fewer tensor
    units, whose products take 1 / tensor_cut as long: share / (share + tensor_cut (1 - share)).
    """
    return share / (share + gpu.core.tensor_cut * (1.0 - share))


def tensor_rate(gpu: Gpu, rate: str) -> float:
    """FLOP/clk/SM of a rate class; a class the part has no unit for runs at the next wider one's rate."""
    table = gpu.core.tensor_flop_per_clk
    wider = {
        "int4": "int8",
        "fp4": "fp8",
        "fp8": "bf16",
        "int8": "bf16",
        "fp32": "tf32",
        "tf32": "bf16",
        "fp16": "bf16",
    }
    name = rate
    while name not in table:
        if name not in wider:
            raise KeyError(f"{gpu.name}: no tensor rate for {rate!r}; known: {', '.join(sorted(table))}")
        name = wider[name]
    return table[name]


def _instruction_rate(gpu: Gpu, kernel: Kernel, rate: str) -> float:
    """FLOP/clk/SM that the instructions around a kernel's products let through, whatever the tensor cores could do.

    ``product_rate`` is that of 16-bit operands; narrower ones gain what the part's tensor cores gain. Compilers that use
    warp-level products, widen weights in registers or rescale sums on CUDA cores reach the same on any generation.
    """
    own = kernel.values.get("product_rate", 0.0)
    return own * tensor_rate(gpu, rate) / tensor_rate(gpu, "bf16") if own > 0.0 else np.inf


def tile_rates(gpu: Gpu, kernel: Kernel, rate: str, a_dtype: str, b_dtype: str) -> TileRates:
    """Rates of one SM for a kernel on operands of the given formats."""
    e, clock = gpu.efficiencies, gpu.core.tensor_clock
    a, b = format_of(a_dtype), format_of(b_dtype)
    share = kept_share(tensor_share(gpu, rate) * kernel.values.get("tensor_share", 1.0), gpu)
    return TileRates(
        flops=min(tensor_rate(gpu, rate) * share, _instruction_rate(gpu, kernel, rate)) * clock,
        feed=e.operand_feed * clock,
        drain=e.epilogue * clock,
        step_latency=kernel.values.get("step_latency", 0.0) + kernel.values.get("step_clocks", 0.0) / clock,
        a_bytes=a.bytes,
        b_bytes=b.bytes,
        step=LINE_BYTES * 8 / max(a.bits, b.bits),
    )


def step_seconds(tiles: TileSet, r: TileRates, m: Array, n: Array) -> tuple[Array, Array, Array]:
    """(time of one k-step, its tensor time, its feed time), s; shape (products, candidates).

    m, n: rows and columns that exist, broadcast against the candidates. The tensor cores work on whole
    tiles; rows and columns outside the matrix are computed but not loaded.
    """
    math = 2.0 * tiles.rows * tiles.cols * r.step / r.flops
    height = np.minimum(tiles.rows, m)
    width = np.minimum(tiles.cols, n)
    feed = (height * r.a_bytes + width * r.b_bytes) * r.step / r.feed
    return np.maximum(np.maximum(math, feed), r.step_latency), math, feed


def epilogue_seconds(tiles: TileSet, r: TileRates) -> Array:
    """Time to write one finished tile, s."""
    return tiles.rows * tiles.cols * OUTPUT_BYTES / r.drain
