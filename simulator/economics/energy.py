"""Energy of a step from counted operations and bytes plus static power, split by where the joules go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simulator.ops.tensor import Number
from simulator.profiles.power import Power


@dataclass(frozen=True, slots=True, eq=False)
class Energy:
    """Joules of one device over a span of time.

    idle: drawn whatever happens. active: clocks, caches and schedulers while a kernel runs. memory: HBM traffic.
    matrix: matrix-unit arithmetic. Their sum never exceeds limit_share tdp seconds: a device that would draw more lowers
    its clock, which the device's sustained efficiencies already contain.
    """

    idle: Number
    active: Number
    memory: Number
    matrix: Number

    @property
    def total(self) -> Number:
        """Joules."""
        return self.idle + self.active + self.memory + self.matrix

    def split(self) -> dict[str, Number]:
        """Joules by cause."""
        return {"idle": self.idle, "active": self.active, "memory": self.memory, "matrix": self.matrix}


def device_energy(
    power: Power,
    seconds: Number,
    busy_seconds: Number,
    hbm_bytes: Number,
    bandwidth: float,
    matmul_flops: Mapping[str, Number],
    peak_flops: Mapping[str, float],
) -> Energy:
    """Energy of one device.

    seconds: span. busy_seconds: part of it in which a kernel runs. hbm_bytes: traffic. bandwidth: datasheet B/s.
    matmul_flops and peak_flops: FLOPs done and datasheet FLOP/s by rate class; a rate class without a peak of its own runs
    at the slowest listed one (it is executed on a wider unit).
    Source: P = idle + (tdp - idle) (active busy + memory u_hbm + matrix u_matrix), see profiles.power.
    """
    headroom = power.tdp - power.idle
    slowest = min(peak_flops.values())
    matrix_seconds = sum((f / peak_flops.get(r, slowest) for r, f in matmul_flops.items()), start=0.0)
    idle = power.idle * np.asarray(seconds, dtype=np.float64)
    active = headroom * power.active_share * np.minimum(busy_seconds, seconds)
    memory = headroom * power.memory_share * hbm_bytes / bandwidth
    matrix = headroom * power.matrix_share * matrix_seconds
    limit = np.maximum(power.limit_share * power.tdp * np.asarray(seconds, dtype=np.float64) - idle, 0.0)
    dynamic = active + memory + matrix
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(dynamic > limit, limit / np.where(dynamic > 0, dynamic, 1.0), 1.0)
    return Energy(idle, active * scale, memory * scale, matrix * scale)
