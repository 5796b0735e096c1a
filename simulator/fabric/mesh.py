"""Collectives on a full mesh of direct links, or on a switch driven like one (Ascend HCCS, unified bus).

Every pair has a link, so all peers are reached in one step: all-gather or reduce-scatter a + (V / n) / pair, all-reduce
twice that; on a switch the pair rate is the port divided by the n - 1 peers served at once.
Source: HCCL algorithm documents (mesh all-reduce 2 alpha + 2 (n / p) beta).
"""

from __future__ import annotations

from simulator.ops.tensor import Number
from simulator.profiles.system import Tier

PASSES = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "broadcast": 1.0, "all_to_all": 1.0}


def pair_bandwidth(tier: Tier, ranks: int) -> float:
    """Rate towards one peer while all peers are served."""
    if tier.topology == "mesh" and tier.per_link:
        return tier.per_link
    return tier.bandwidth / max(1, ranks - 1)


def mesh_seconds(kind: str, payload: Number, ranks: int, tier: Tier, *, share: float) -> Number:
    """Time after the start of the collective; payload as in Collective."""
    passes = PASSES[kind]
    return passes * (tier.latency + payload / ranks / (share * pair_bandwidth(tier, ranks)))
