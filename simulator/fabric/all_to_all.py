"""All-to-all by direct exchange with every peer, and one message between two ranks.

All peers are served at once, so the hop count does not enter: t = start + hops g + volume / rate, where volume counts
the remote share S (n - 1) / n and the copy of the own share through the same engines. Small messages use flag-carrying
stores (LL), large ones a copy pipeline with an extra start.
"""

from __future__ import annotations

import numpy as np

from simulator.ops.tensor import Number
from simulator.profiles.system import Tier


def pairwise_seconds(
    payload: Number,
    ranks: int,
    tier: Tier,
    *,
    ll_share: float,
    share: float,
    hops: float,
    start: float,
    local: float,
) -> Number:
    """payload: send buffer of one rank. The cheaper of the two protocols."""
    volume = payload * (ranks - 1) / ranks + local * payload / ranks
    base = tier.start + hops * tier.latency
    small = base + volume / (ll_share * tier.bandwidth)
    large = base + start + volume / (share * tier.bandwidth)
    return np.minimum(small, large)


def network_pairwise_seconds(payload: Number, ranks: int, per_domain: int, network: Tier, *, share: float) -> Number:
    """The part that crosses domains: each rank's own port carries (n - m) / n of its buffer."""
    return payload * (ranks - per_domain) / ranks / (share * network.bandwidth)
