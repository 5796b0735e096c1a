"""Projection of the residual streams on their mixing weights (mHC): a product with 24 columns and a very long inner side.

Library form (tensor cores): blocks of ``tile_rows`` tokens; the inner dimension is split so that the blocks fill the SMs,
at least ``least_steps`` steps of ``inner_step`` each. time = launch + pn(streams / bandwidth, waves steps projection_step
+ projection_start). FMA form, for a few tokens: blocks hold ``weight_tokens`` tokens, so that the weights pass from L2
once for every so many; the inner dimension is walked at the vector kernels' round trips.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from simulator.devices.cost import Cost
from simulator.devices.gpu.elementwise import launch_seconds, memory_seconds, round_trip
from simulator.devices.overlap import partly_overlapped
from simulator.ops.tensor import Number, as_float
from simulator.ops.work import Matmul
from simulator.profiles.dtypes import format_of
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

Array = npt.NDArray[np.float64]


def projection_cost(term: Matmul, gpu: Gpu, kernel: Kernel) -> Cost:
    """Cost of ``term``: tokens x streams' width times mixing weights.

    Traits: form (library or fma), tile_rows, inner_step, least_steps, resident (blocks an SM holds), splits (false: one
    block walks all of the inner dimension). Values: those of launch_seconds; projection_start and projection_step
    (clocks; library form); chain_clocks and weight_tokens (fma form).
    """
    tokens, inner = np.asarray(as_float(term.m), dtype=np.float64), np.asarray(as_float(term.k), dtype=np.float64)
    streams = tokens * inner * format_of(term.a_dtype).bytes
    weights = np.asarray(as_float(term.n)) * inner * format_of(term.b_dtype).bytes
    moved = streams + weights
    if kernel.traits.get("form") == "fma":
        moved = streams + weights * np.maximum(1.0, tokens / kernel.values.get("weight_tokens", 1.0))
        steps = np.ceil(inner / float(kernel.traits.get("inner_step", 2048)))
        clocks = (1.0 + steps) * (kernel.values.get("chain_clocks", 0.0) + round_trip(streams, gpu))
    else:
        clocks = _library_clocks(tokens, inner, gpu, kernel)
    memory, hbm = memory_seconds(moved, gpu, streams)
    walk = np.where(tokens > 0, clocks / gpu.core.max_clock, 0.0)
    launch = launch_seconds(kernel)
    seconds = launch + partly_overlapped(memory, walk, gpu.efficiencies.overlap_exponent)
    busy: dict[str, Number] = {"launch": launch, "hbm": hbm / gpu.memory.bandwidth, "tensor": walk}
    return Cost(seconds if np.ndim(seconds) else float(seconds), busy, {"hbm": hbm, "l2": moved - hbm})


def _library_clocks(tokens: Array, inner: Array, gpu: Gpu, kernel: Kernel) -> Array:
    """Clocks of the longest SM: its waves of blocks, each a share of the inner dimension."""
    t = kernel.traits
    blocks = np.maximum(1.0, np.ceil(tokens / float(t.get("tile_rows", 64))))
    steps = np.ceil(inner / float(t.get("inner_step", 64)))
    splits = np.ones_like(steps)
    if t.get("splits", True):
        fill = np.floor(gpu.core.sms / blocks)
        splits = np.maximum(1.0, np.minimum(fill, np.floor(steps / float(t.get("least_steps", 4)))))
    waves = np.maximum(1.0, blocks * splits / (gpu.core.sms * float(t.get("resident", 1))))
    v = kernel.values
    return np.asarray(waves * np.ceil(steps / splits) * v.get("projection_step", 0.0) + v.get("projection_start", 0.0))
