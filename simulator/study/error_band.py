"""How wrong a prediction may be: the error measured on comparable rows, widened where the device has none of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from simulator.devices.peaks import Device
from simulator.profiles.error_bands import ErrorBands, load_error_bands

SIZE_CLASSES = ((20e-6, "below_20us"), (200e-6, "to_200us"), (math.inf, "above_200us"))


def size_class(seconds: float) -> str:
    """Name of the size class of a kernel time."""
    return next(name for limit, name in SIZE_CLASSES if seconds < limit)


def band_pct(family: str, device: Device, fidelity: str, seconds: float) -> float:
    """Half-width in percent that covers about two thirds of comparable rows.

    Rows of the device itself give the band; a device without rows takes its generation's and widens it, a generation
    without rows widens it more; values that are not calibrated widen it again.
    """
    bands = _bands()
    base = bands.of(family, device.vendor, size_class(seconds))
    if device.name not in bands.measured_devices:
        known = device.architecture in bands.measured_architectures
        base *= bands.new_device if known else bands.new_generation
    return base * {"calibrated": 1.0, "derived": bands.derived}.get(fidelity, bands.estimated)


def device_fidelity(device: Device) -> str:
    """How firm the hardware side is: calibrated (rows of the device), derived (of its generation), estimated (neither)."""
    bands = _bands()
    if device.name in bands.measured_devices:
        return "calibrated"
    return "derived" if device.architecture in bands.measured_architectures else "estimated"


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
