"""Money: device-hours to dollars per million tokens, always with the kind of token and the cost basis."""

from __future__ import annotations

import numpy as np

from simulator.ops.tensor import Number

TOKENS_PER_MTOK = 1e6
SECONDS_PER_HOUR = 3600.0


def usd_per_mtok(usd_per_device_hour: float | None, tokens_per_s_per_device: Number) -> Number | None:
    """USD per million tokens of the kind whose rate is given; None if the basis has no price for the device.

    Source: USD/h over tokens/h, times 1e6 (the definition used by public inference dashboards).
    """
    if usd_per_device_hour is None:
        return None
    rate = np.asarray(tokens_per_s_per_device, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return usd_per_device_hour / SECONDS_PER_HOUR / rate * TOKENS_PER_MTOK
