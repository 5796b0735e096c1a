"""What a kernel costs on a device: seconds, busy seconds of each unit, bytes by memory level, and what binds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from simulator.ops.tensor import Number


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """Cost of one kernel (or of an operator's kernels in sequence). Fields are floats or arrays, one entry per scenario.

    seconds: wall time on the device. busy: seconds each unit is occupied ("tensor", "vector", "sfu", "l2", "hbm", "launch",
    "cube", "mxu", "mte2", "nic", "nvlink" ...); the largest binds. bytes: traffic by level ("hbm", "l2", "wire").
    """

    seconds: Number
    busy: Mapping[str, Number] = field(default_factory=dict)
    bytes: Mapping[str, Number] = field(default_factory=dict)

    def bound(self) -> np.ndarray:
        """Name of the busiest unit for each scenario ("none" if nothing is recorded)."""
        if not self.busy:
            return np.full(np.shape(self.seconds), "none")
        names = list(self.busy)
        stack = np.stack(np.broadcast_arrays(*[np.asarray(self.busy[n], dtype=np.float64) for n in names]))
        return np.asarray(np.asarray(names)[np.argmax(stack, axis=0)])

    def __add__(self, other: Cost) -> Cost:
        def merge(a: Mapping[str, Number], b: Mapping[str, Number]) -> dict[str, Number]:
            return {k: a.get(k, 0.0) + b.get(k, 0.0) for k in dict.fromkeys((*a, *b))}

        return Cost(self.seconds + other.seconds, merge(self.busy, other.busy), merge(self.bytes, other.bytes))


ZERO = Cost(0.0)
