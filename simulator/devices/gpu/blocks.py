"""Arithmetic shared by kernels that spread independent thread blocks (CTAs) over the SMs of a GPU.

Everything is vectorised: arguments are floats or arrays that broadcast against each other.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from simulator.profiles.gpu import Gpu

Floats: TypeAlias = npt.NDArray[np.float64]

TINY = 1e-30  # seconds; keeps ratios of two idle units finite


def floats(x: object) -> Floats:
    """``x`` as a float64 array."""
    return np.asarray(x, dtype=np.float64)


def smooth_max(a: object, b: object, exponent: object) -> Floats:
    """(a^p + b^p)^(1/p): two activities that overlap imperfectly; at least max(a, b), at most a + b for p >= 1."""
    x, y, p = floats(a), floats(b), floats(exponent)
    top = np.maximum(np.maximum(x, y), TINY)
    low = np.minimum(x, y)
    return top * (1.0 + (low / top) ** p) ** (1.0 / p)


def waves(blocks: object, slots: object) -> Floats:
    """Waves of ``blocks`` equal blocks on ``slots`` slots.

    One for a partial first wave; beyond it half of the last wave's idle slots are lost, because blocks drift apart.
    """
    x = floats(blocks) / floats(slots)
    return np.where(x <= 1.0, np.ceil(x), x + 0.5 * (np.ceil(x) - x))


def stream_seconds(nbytes: object, gpu: Gpu, resident: object = 0.0) -> Floats:
    """Seconds to stream ``nbytes``, a share ``resident`` of it from L2 and the rest from device memory."""
    hbm = floats(gpu.efficiencies.kv_stream) * gpu.memory.bandwidth
    hit = floats(resident)
    return floats(nbytes) * ((1.0 - hit) / hbm + hit / l2_rate(gpu))


def l2_rate(gpu: Gpu) -> float:
    """Bytes per second at which long reads leave L2: what its wires carry to all SMs, at least the memory's rate."""
    wires = gpu.efficiencies.l2_read * gpu.core.sms * gpu.core.max_clock
    return max(wires, gpu.efficiencies.kv_stream * gpu.memory.bandwidth)
