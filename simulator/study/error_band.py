"""How wrong a prediction may be: the error measured on comparable rows, widened where the device has none of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from simulator.devices.peaks import Device
from simulator.profiles.error_bands import ErrorBands, load_error_bands

SIZE_CLASSES = ((20e-6, "below_20us"), (200e-6, "to_200us"), (math.inf, "above_200us"))


SAME_KERNELS = {"grouped_gemm": ("moe",), "gather": ("sparse_gather", "elementwise"), "sparse_gather": ("elementwise",)}
"""Family -> others whose rows time the same kernels (an expert layer is its two grouped products)."""

GROUNDS = ("none", "generation", "device")


def size_class(seconds: float) -> str:
    """Name of the size class of a kernel time."""
    return next(name for limit, name in SIZE_CLASSES if seconds < limit)


def band_pct(family: str, device: Device, fidelity: str, seconds: float) -> float:
    """Half-width in percent that covers about two thirds of comparable rows.

    Rows of the family on the device itself give the band; a device without any takes its generation's and widens it, a
    generation without any widens it more; values that are not calibrated widen it again.
    """
    bands = _bands()
    base = bands.of(family, device.vendor, size_class(seconds))
    widening = {"device": 1.0, "generation": bands.new_device, "none": bands.new_generation}
    base *= widening[_ground(family, device)]
    return base * {"calibrated": 1.0, "derived": bands.derived}.get(fidelity, bands.estimated)


def device_fidelity(family: str, device: Device) -> str:
    """How firm the hardware side is for a family of kernels: calibrated (rows of the device), derived (of its generation),
    estimated (neither)."""
    return {"device": "calibrated", "generation": "derived"}.get(_ground(family, device), "estimated")


def _ground(family: str, device: Device) -> str:
    """The best that the family's rows, or those of the same kernels, say of the device."""
    families = (family, *SAME_KERNELS.get(family, ()))
    return max((_bands().ground(f, device.name, device.architecture) for f in families), key=GROUNDS.index)


def combined_band_pct(parts: Sequence[tuple[float, float, str]], vendor: str) -> float:
    """Band of a sum of operators on a device of ``vendor`` given (band_pct, seconds, family) of each.

    Errors inside one family are taken as fully shared, errors of different families as independent; what a whole step adds
    to its kernels (gaps, fusion, imbalance, engine) is one more independent part.
    """
    total = sum(seconds for _, seconds, _ in parts)
    if total <= 0:
        return 0.0
    families: dict[str, float] = {}
    for band, seconds, family in parts:
        families[family] = families.get(family, 0.0) + band * seconds
    kernels = math.sqrt(sum(v * v for v in families.values())) / total
    return math.hypot(kernels, _bands().of_step(vendor))


@lru_cache(maxsize=1)
def _bands() -> ErrorBands:
    return load_error_bands()
