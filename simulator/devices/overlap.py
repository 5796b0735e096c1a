"""Partly overlapped resources: the p-norm of their times (p = 1 adds them, large p takes the longest)."""

from __future__ import annotations

import numpy as np

from simulator.ops.tensor import Number


def partly_overlapped(first: Number, second: Number, exponent: float) -> Number:
    """(first^p + second^p)^(1/p), computed without overflow."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    high, low = np.maximum(a, b), np.minimum(a, b)
    ratio = np.divide(low, high, out=np.zeros(np.broadcast(a, b).shape), where=high > 0)
    return np.asarray(high * (1.0 + ratio**exponent) ** (1.0 / exponent))
