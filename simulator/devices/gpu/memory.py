"""HBM traffic of a matrix kernel: what stays in L2 between replays, and what a wave of tiles re-reads.

Source for the wave footprint: the rasterised-tile argument of Triton's matmul tutorial (grouped program order); the
best grouping of the tiles in flight is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.devices.gpu.tiles import TileSet
from simulator.profiles.gpu import Gpu

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Operands:
    """Bytes of the three tensors of a product."""

    a: Array
    b: Array
    out: Array


def resident_share(footprint: Array, gpu: Gpu) -> Array:
    """Share of a working set of ``footprint`` bytes that survives in L2 until it is used again, 0..1.

    Linear between half and one and a half of the usable capacity, because replacement is not exact.
    """
    usable = gpu.efficiencies.l2_survival * gpu.memory.l2_capacity
    return np.clip(1.5 - footprint / usable, 0.0, 1.0)


def cold_bytes(x: Operands, gpu: Gpu, weight_copies: float) -> Operands:
    """Bytes that must come from (or go to) HBM at least once.

    weight_copies: how many weights alternate between two uses of the same one; inf inside a model (always cold), 5 in a
    benchmark that cycles five copies, 1 where one weight is replayed.
    """
    activations = 1.0 - resident_share(x.a + x.b + x.out, gpu)
    if np.isinf(weight_copies):
        return Operands(x.a * activations, x.b, x.out * activations)
    weights = 1.0 - resident_share(x.a + weight_copies * x.b + x.out, gpu)
    return Operands(x.a * activations, x.b * weights, x.out * activations)


def reread_bytes(x: Operands, tiles: TileSet, m: Array, n: Array, gpu: Gpu) -> Array:
    """Extra HBM bytes because neither operand stays in L2 while the waves pass over the output; (products, candidates).

    A wave of C tiles covers r x c tiles with r c = C; it reads the rows and columns it covers. If the smaller operand
    fits in L2 both are read once.
    """
    sms = float(gpu.core.sms)
    height, width = m[:, None], n[:, None]
    a, b = x.a[:, None], x.b[:, None]
    # best r minimises a n/(c cols) + b m/(r rows) with c = C / r
    ratio = (b * height / tiles.rows) / np.maximum(a * width / tiles.cols, 1e-30) * sms
    r = np.clip(np.sqrt(ratio), 1.0, sms)
    passes_a = np.maximum(width * r / (sms * tiles.cols), 1.0)
    passes_b = np.maximum(height / (r * tiles.rows), 1.0)
    spilled = 1.0 - resident_share(np.minimum(a, b), gpu)
    extra = spilled * (a * (passes_a - 1.0) + b * (passes_b - 1.0))
    return np.asarray(extra)
