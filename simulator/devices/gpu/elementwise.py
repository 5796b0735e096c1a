"""Vector passes on a GPU: memory traffic with the L2 share, the row a single thread block works off, launch floor.

t = launch + pn(bytes / bandwidth, element_clk cols max(1, rows / (2 SMs)) / clock, row_clk rows / SMs / clock).
Kernels with one thread block per row are bound by one block when rows are few and long; block start-up shows when rows
are many and short. Bandwidth mixes L2 and HBM: the share served by L2 falls off as the footprint passes its usable
part.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from simulator.devices.cost import Cost
from simulator.ops.tensor import Number
from simulator.ops.work import Elementwise
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

Array = npt.NDArray[np.float64]
RESIDENT_BLOCKS = 2  # row blocks that share one SM without slowing each other
L2_FALL = 4  # sharpness of the fall of the L2 share around the usable capacity


def elementwise_cost(term: Elementwise, gpu: Gpu, kernel: Kernel) -> Cost:
    """Cost of a vector pass; arrays in the term give arrays.

    kernel values: launch (seconds per kernel), element_clk and row_clk (clocks), traffic (bytes moved over bytes
    named in the term; below 1 is not possible). Absent values count as 0 (traffic 1).
    """
    values = kernel.values
    moved = np.asarray(term.read, dtype=np.float64) + np.asarray(term.written, dtype=np.float64)
    seconds, busy, hbm, l2 = _pass(
        moved * max(1.0, values.get("traffic", 1.0)),
        np.asarray(term.rows, dtype=np.float64),
        np.asarray(term.cols, dtype=np.float64),
        gpu,
        values,
    )
    sfu = np.asarray(term.exponentials()) / (gpu.core.sms * gpu.core.exp_per_clk * gpu.core.max_clock)
    launch = values.get("launch", 0.0) * max(1, term.kernels)
    total = launch + np.maximum(seconds, sfu)
    return Cost(_plain(total), {"launch": launch, "sfu": _plain(sfu), **busy}, {"hbm": _plain(hbm), "l2": _plain(l2)})


def l2_share(footprint: Array, gpu: Gpu) -> Array:
    """Share of a pass over ``footprint`` bytes that L2 serves: 1 when small, falling to 0 beyond its capacity."""
    usable = gpu.efficiencies.l2_survival * gpu.memory.l2_capacity
    return np.asarray(1.0 / (1.0 + (footprint / usable) ** L2_FALL))


def memory_seconds(moved: Array, gpu: Gpu, hbm_share: float | None = None) -> tuple[Array, Array]:
    """(seconds, bytes from HBM) of a pass over ``moved`` bytes that may still lie in L2 from the kernel before."""
    share = l2_share(moved, gpu)
    stream = gpu.efficiencies.vector_stream if hbm_share is None else hbm_share
    slow = stream * gpu.memory.bandwidth
    fast = max(slow, gpu.efficiencies.vector_l2 * gpu.core.sms * gpu.core.max_clock)
    rate = share * fast + (1.0 - share) * slow
    hbm = moved * (1.0 - share)
    return np.maximum(moved / rate, hbm / slow), hbm


def _pass(
    moved: Array, rows: Array, cols: Array, gpu: Gpu, values: Mapping[str, float]
) -> tuple[Array, dict[str, Number], Array, Array]:
    clock, sms = gpu.core.max_clock, float(gpu.core.sms)
    memory, hbm = memory_seconds(moved, gpu)
    blocks = np.maximum(1.0, rows / (RESIDENT_BLOCKS * sms))
    serial = values.get("element_clk", 0.0) * cols * blocks / clock
    starts = values.get("row_clk", 0.0) * rows / sms / clock
    p = gpu.efficiencies.overlap_exponent
    high = np.maximum(np.maximum(memory, serial), starts)
    safe = np.where(high > 0, high, 1.0)
    total = high * ((memory / safe) ** p + (serial / safe) ** p + (starts / safe) ** p) ** (1.0 / p)
    busy = {"hbm": _plain(hbm / gpu.memory.bandwidth), "vector": _plain(np.maximum(serial, starts))}
    return np.asarray(np.where(high > 0, total, 0.0)), busy, hbm, moved - hbm


def _plain(value: Number) -> Number:
    return value if np.ndim(value) else float(value)
