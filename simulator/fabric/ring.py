"""Ring all-reduce, all-gather and reduce-scatter under one link protocol.

A ring of n ranks takes r = n - 1 steps (all-reduce: reduce-scatter, then all-gather: 2 (n - 1)) and moves
W = (n - 1) / n of the payload per rank (all-reduce twice that). Out of place, each rank also passes its own share S / n
through the same channels once. Source: NVIDIA nccl-tests, doc/PERFORMANCE.md (bus bandwidth).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.tensor import Number

STEPS = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "broadcast": 1.0}


@dataclass(frozen=True, slots=True)
class Path:
    """What a ring sees: seconds to start, seconds of all its steps at one hop per step, the port of a rank.

    border: rate at which a rank's share of the ring crosses between domains (inf inside one domain).
    """

    start: float
    steps: float
    bandwidth: float
    border: float = float("inf")

    def rate(self, share: float, data: float = 1.0) -> float:
        """Bytes per second under a protocol that reaches ``share`` of the port and carries ``data`` per byte sent."""
        return min(share * self.bandwidth, data * self.border)


def wire(kind: str, payload: Number, ranks: int) -> Number:
    """Bytes one rank sends."""
    return STEPS[kind] * (ranks - 1) / ranks * payload


def protocol_seconds(
    kind: str,
    payload: Number,
    ranks: int,
    path: Path,
    *,
    share: float,
    hops: float,
    local: float,
    data: float = 1.0,
    start: float = 0.0,
) -> Number:
    """Time under a protocol that reaches ``share`` of the link and needs ``hops`` hop times per step.

    local: weight of the pass of the rank's own share. data: payload per byte sent. start: extra seconds at the
    beginning.
    """
    own = local * payload / ranks / (share * path.bandwidth)
    return path.start + start + hops * path.steps + wire(kind, payload, ranks) / path.rate(share, data) + own


def fill_seconds(payload: Number, ranks: int, rate: float, fraction: float, chunk: float) -> Number:
    """Pipeline fill of a chunked ring: ``fraction`` of one chunk (at most S / n) per step at ``rate``."""
    return fraction * (ranks - 1) * np.minimum(payload / ranks, chunk) / rate
