"""All-to-all by direct exchange with every peer, and one message between two ranks.

All peers are served at once, so the hop count does not enter: t = start + hops g + volume / rate with the remote share
S (n - 1) / n of the buffer. Small messages use flag-carrying stores (LL), large ones a copy pipeline with an extra
start and a pipeline to fill; there a peer gets no more than the rates of a few channels, which binds while there are few
peers. Source: NVIDIA NCCL src/graph/tuning.cc (rate of a channel); how many of them reach a peer is a fit.
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
    fill: float = 0.0,
    chunk: float = 0.0,
    peer_rate: float = float("inf"),
) -> Number:
    """payload: send buffer of one rank. The cheaper of the two protocols.

    fill: part of ``chunk`` bytes that moves before the pipeline is full. peer_rate: bytes per
    second towards one peer.
    """
    volume = payload * (ranks - 1) / ranks
    base = tier.start + hops * tier.latency
    small = base + volume / (ll_share * tier.bandwidth)
    first = fill * np.minimum(volume, chunk) / (share * tier.bandwidth)
    large = base + start + first + volume / np.minimum(share * tier.bandwidth, (ranks - 1) * peer_rate)
    return np.asarray(np.minimum(small, large))


def network_pairwise_seconds(payload: Number, ranks: int, per_domain: int, network: Tier, *, share: float) -> Number:
    """The part that crosses domains: each rank's own port carries (n - m) / n of its buffer."""
    return payload * (ranks - per_domain) / ranks / (share * network.bandwidth)
