"""Low-latency expert dispatch and combine: one message per (token, expert), no copy is shared.

Latency: start, one peer after another inside the scale-up domain, 1 + log2 of the domains across the network, and for
the dispatch the per-expert bookkeeping. Volume: the remote share of T k copies through the network port, the rest
over the scale-up links (the own rank's copy too, beyond one domain); a copy pays the link and then the engine that
packs it. Source: deepseek-ai/DeepEP README and docs/legacy.md.
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

    values: start, peer, expert (dispatch), link_share, dispatch_rate, combine_rate (of the packing engines of a
    device), port_overlap (network against scale-up links), overlap (latency against volume).
    """
    peers = min(span.per_domain, span.ranks) - 1
    latency = values["start"] + values["peer"] * peers
    if term.direction == "dispatch":
        latency += values["expert"] * term.experts / term.ranks
    if span.outer is not None and span.domains > 1:
        latency += span.outer.latency * (1.0 + log2(span.domains))
    across, inside = shares(span)
    volume = term.logical_bytes()
    links = volume * inside / (values["link_share"] * span.inner.bandwidth)
    engines = volume * inside / values[f"{term.direction}_rate"]
    network = volume * across / (span.outer.bandwidth if span.outer is not None else 1.0)
    ports = partly_overlapped(network, links + engines, values["port_overlap"])
    return partly_overlapped(latency, ports, values["overlap"]), network, links
