"""All-reduce added up inside the switch (NVLink SHARP): every rank sends S once and receives S / n more than once.

Needs a tier whose switches reduce and at least four ranks (with two, the ring moves the same bytes with less set-up).
Out of place, each rank also passes its own share S / n once, as in a ring. Source: NVIDIA NCCL user guide,
NCCL_ALGO=NVLS.
"""

from __future__ import annotations

import numpy as np

from simulator.ops.tensor import Number
from simulator.profiles.system import Tier

LEAST_RANKS = 4
CHUNKS = 8  # in flight before the pipeline is full (NCCL_STEPS)


def applies(kind: str, ranks: int, tier: Tier) -> bool:
    """Whether the switch can add this collective up."""
    return kind == "all_reduce" and ranks >= LEAST_RANKS and bool(tier.reduces)


def in_switch_seconds(
    payload: Number, ranks: int, tier: Tier, *, share: float, start: float, local: float, fill: float, chunk: float
) -> Number:
    """start: set-up of the multicast group. local: weight of the own share's pass. fill: part of a chunk sent at once."""
    rate = share * tier.bandwidth
    volume = payload * (1 + (1 + local) / ranks) + CHUNKS * fill * np.minimum(payload / ranks, chunk)
    return tier.start + start + volume / rate
