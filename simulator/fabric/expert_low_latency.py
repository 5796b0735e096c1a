"""Low-latency expert dispatch and combine: one message per (token, expert), no copy is shared.

Latency: start, one peer after another inside the scale-up domain, log2 of the domains across the network, and for the
dispatch the per-expert bookkeeping. Volume: the remote share of T k copies through the network port, the rest over the
scale-up links (the own rank's copy too, beyond one domain). Source: deepseek-ai/DeepEP README and docs/legacy.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

from simulator.fabric.overlap import partly_overlapped
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number
from simulator.ops.work import ExpertExchange


def shares(span: Span) -> tuple[float, float]:
    """(share of the copies that crosses the network, share that uses the scale-up links)."""
    if span.outer is None:
        return 0.0, 1.0 - 1.0 / span.ranks
    across = 1.0 - 1.0 / span.domains
    return across, 1.0 - across


def low_latency_seconds(term: ExpertExchange, span: Span, values: Mapping[str, float]) -> tuple[Number, Number, Number]:
    """(seconds, seconds of the network port, seconds of the scale-up links).

    values: start, peer, expert (dispatch), network_start, network_hop, dispatch_share, combine_share, overlap.
    """
    peers = min(span.per_domain, span.ranks) - 1
    latency = values["start"] + values["peer"] * peers
    if term.direction == "dispatch":
        latency += values["expert"] * term.experts / term.ranks
    if span.outer is not None and span.domains > 1:
        latency += values["network_start"] + span.outer.latency * log2(span.domains)
    across, inside = shares(span)
    volume = term.logical_bytes()
    share = values[f"{term.direction}_share"]
    network = volume * across / (span.outer.bandwidth if span.outer is not None else 1.0)
    links = volume * inside / (share * span.inner.bandwidth)
    return partly_overlapped(latency, network + links, values["overlap"]), network, links
