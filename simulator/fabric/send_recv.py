"""One message from one rank to another.

Small messages go as flag-carrying stores at a small share of the link, large ones through a copy pipeline after an
extra start; over a network both run at the port rate.
"""

from __future__ import annotations

import numpy as np

from simulator.ops.tensor import Number
from simulator.profiles.system import Tier


def send_seconds(
    payload: Number, tier: Tier, *, start: float, ll_share: float, share: float, pipeline: float
) -> Number:
    """start: before the first byte. pipeline: extra start of the copy pipeline."""
    small = start + payload / (ll_share * tier.bandwidth)
    large = start + pipeline + payload / (share * tier.bandwidth)
    return np.minimum(small, large)
