"""Vector passes on a GPU: memory traffic with its L2 share against the steps of the thread blocks, and the launch.

t = launch + sum over the operator's passes of pn(memory, blocks), further passes a kernel_start each.
A kernel with one thread block a row is bound by the blocks: each takes a step of its row at a time, and a step is one
round trip to memory plus the chains of dependent instructions behind it; blocks run in waves of ``resident`` an SM.
Flat kernels cut the tensor into blocks of one step. Bandwidth mixes L2 and HBM: the share served by L2 falls off as the
footprint passes its usable part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.devices.cost import Cost
from simulator.devices.overlap import partly_overlapped
from simulator.ops.tensor import Number
from simulator.ops.work import Elementwise
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

Array = npt.NDArray[np.float64]
L2_FALL = 4  # sharpness of the fall of the L2 share around the usable capacity
MOST_BLOCKS = (
    32.0  # thread blocks an SM can hold, however small (CUDA C++ programming guide, compute capability 8.0, 9.0, 10.0)
)


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a kernel walks its tensor: traits of a stack's kernel.

    step: elements of a row that a block takes at once (threads x elements of an access); 0: flat, no rows. resident:
    blocks an SM holds (2048 threads over those of a block); more where rows are short and the kernel shrinks its blocks to
    them (shrinks). sweeps: times a row is walked (a norm: twice), from L2 after the first. chains: dependent instruction
    chains of a step (2: behind a transcendental or a look-up). started:
    steps a block loses before its first.
    """

    step: float = 0.0
    resident: float = 2.0
    sweeps: float = 1.0
    chains: float = 1.0
    started: float = 1.0
    shrinks: bool = False

    def on_an_sm(self, cols: Array) -> Array:
        """Blocks an SM holds for rows of ``cols`` elements."""
        share = np.clip(self.step / np.maximum(cols, 1.0), 1.0, None) if self.shrinks else 1.0
        return np.asarray(np.minimum(self.resident * share, max(MOST_BLOCKS, self.resident)))

    @staticmethod
    def of(kernel: Kernel) -> Blocks:
        """The traits of ``kernel`` that say so."""
        names = ("step", "resident", "sweeps", "chains", "started")
        shrinks = bool(kernel.traits.get("shrinks", False))
        return Blocks(**{n: float(kernel.traits[n]) for n in names if n in kernel.traits}, shrinks=shrinks)


def elementwise_cost(term: Elementwise, gpu: Gpu, kernel: Kernel) -> Cost:
    """Cost of a vector pass; arrays in the term give arrays.

    Kernel traits: those of Blocks; pass_bytes ("6 8 5": bytes an element moves in each of several kernels; default: one
    kernel, the bytes of the term). Values: those of launch_seconds; chain_clocks (a chain of dependent instructions);
    row_chain (chain of a row beside its steps, clocks); scalar_rate (bytes a clock and SM of a kernel that loads elements
    one by one, in every sweep).
    """
    rows, cols = np.asarray(term.rows, dtype=np.float64), np.asarray(term.cols, dtype=np.float64)
    elements = rows * cols
    moved = np.asarray(term.read, dtype=np.float64) + np.asarray(term.written, dtype=np.float64)
    parts = _passes(moved, elements, kernel)
    seconds, hbm, vector, total = 0.0 * moved, 0.0 * moved, 0.0 * moved, 0.0 * moved
    for part in parts:
        memory, from_hbm = memory_seconds(part, gpu)
        memory = np.maximum(memory, _port_seconds(part, np.asarray(term.read), gpu, kernel))
        walk = np.where(elements > 0, block_seconds(rows, cols, part, gpu, kernel), 0.0)
        seconds, total = seconds + partly_overlapped(memory, walk, gpu.efficiencies.overlap_exponent), total + part
        hbm, vector = hbm + from_hbm, vector + walk
    launch = launch_seconds(kernel, max(len(parts), term.kernels))
    sfu = np.asarray(term.exponentials()) / (gpu.core.sms * gpu.core.exp_per_clk * gpu.core.max_clock)
    body = np.maximum(seconds, sfu)
    busy = {"hbm": _plain(hbm / gpu.memory.bandwidth), "vector": _plain(vector), "sfu": _plain(sfu), "launch": launch}
    return Cost(_plain(launch + body), busy, {"hbm": _plain(hbm), "l2": _plain(total - hbm)})


def launch_seconds(kernel: Kernel, kernels: int = 1) -> float:
    """Seconds that ``kernels`` kernels of one operator take to start one after the other.

    Values: launch and kernel_start (of the first and of each further kernel), hidden_launch (part of the launch during
    which the kernel before still runs), prologue (before the first step).
    """
    v = kernel.values
    first = max(0.0, v.get("launch", 0.0) - v.get("hidden_launch", 0.0)) + v.get("prologue", 0.0)
    return first + (kernels - 1) * v.get("kernel_start", v.get("launch", 0.0))


def l2_share(footprint: Array, gpu: Gpu) -> Array:
    """Share of a pass over ``footprint`` bytes that L2 serves: 1 when small, falling to 0 beyond its capacity."""
    usable = gpu.efficiencies.l2_survival * gpu.memory.l2_capacity
    return np.asarray(1.0 / (1.0 + (footprint / usable) ** L2_FALL))


def memory_seconds(moved: Array, gpu: Gpu, footprint: Array | None = None) -> tuple[Array, Array]:
    """(seconds, bytes from HBM) of a pass over ``moved`` bytes that may still lie in L2 from the kernel before.

    footprint: distinct bytes, if not all ``moved`` are.
    """
    share = l2_share(moved if footprint is None else footprint, gpu)
    slow = gpu.efficiencies.vector_stream * gpu.memory.bandwidth
    fast = max(slow, l2_rate(gpu))
    rate = share * fast + (1.0 - share) * slow
    hbm = moved * (1.0 - share)
    return np.maximum(moved / rate, hbm / slow), hbm


def l2_rate(gpu: Gpu) -> float:
    """Bytes per second vector passes move between L2 and the SMs."""
    return gpu.efficiencies.vector_l2 * gpu.core.sms * gpu.core.max_clock


def round_trip(footprint: Array, gpu: Gpu) -> Array:
    """Clocks of one access to a tensor of ``footprint`` bytes: that of L2, or that of HBM where L2 has lost it."""
    share = l2_share(footprint, gpu)
    return share * gpu.memory.l2_latency + (1.0 - share) * gpu.memory.dram_latency


def block_seconds(rows: Array, cols: Array, footprint: Array, gpu: Gpu, kernel: Kernel) -> Array:
    """Seconds the thread blocks need for their steps, memory bandwidth apart."""
    how, chain = Blocks.of(kernel), kernel.values.get("chain_clocks", 0.0)
    near = gpu.memory.l2_latency
    first = how.chains * chain + round_trip(footprint, gpu)
    if how.step <= 0:  # flat: blocks of one step start and end all the time
        return (how.started * (chain + near) + first) / gpu.core.max_clock
    steps = np.ceil(cols / how.step)
    again = (how.sweeps - 1.0) * (how.chains * chain + near)
    clocks = steps * (first + again) + how.started * (chain + near) + kernel.values.get("row_chain", 0.0)
    waves = np.maximum(1.0, np.ceil(rows / (how.on_an_sm(cols) * gpu.core.sms)))
    return np.asarray(waves * clocks / gpu.core.max_clock)


def _passes(moved: Array, elements: Array, kernel: Kernel) -> list[Array]:
    """Bytes of each kernel of the operator."""
    each = [float(part) for part in str(kernel.traits.get("pass_bytes", "")).split()]
    return [np.maximum(size * elements, moved / len(each)) for size in each] or [moved]


def _port_seconds(moved: Array, read: Array, gpu: Gpu, kernel: Kernel) -> Array:
    """Seconds of the traffic through the SMs' ports where it may exceed that of memory: rows read again, scalar loads."""
    rate = kernel.values.get("scalar_rate", 0.0) * gpu.core.sms * gpu.core.max_clock
    again = (float(kernel.traits.get("sweeps", 1.0)) - 1.0) * read
    return np.asarray((moved + again) / rate) if rate > 0 else np.zeros_like(moved)


def _plain(value: Number) -> Number:
    return value if np.ndim(value) else float(value)
