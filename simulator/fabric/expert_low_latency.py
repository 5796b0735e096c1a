"""Low-latency expert dispatch and combine: one message per (token, expert), no copy is shared.

Latency: starts of the link tier, a share of a hop to one peer after another inside the scale-up domain, 1 + log2 of the
domains steps across the network, and for the dispatch the bookkeeping of every local expert. Volume: the slowest rank
sets the time. With evenly drawn experts a rank receives M = T k messages, give or take sqrt(M), so the busiest of n ranks
gets M + z_n sqrt(M), z_n the expected largest of n standard normal draws. The share that leaves the domain passes the
network port, the rest the scale-up links (the own rank's copy too, beyond one domain). A message keeps the link busy for
its bytes and for the gap to the next one. Source: deepseek-ai/DeepEP README and docs/legacy.md; G. Blom, Statistical
Estimates and Transformed Beta-Variables (1958) for z_n.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import log2
from statistics import NormalDist

import numpy as np

from simulator.devices.overlap import partly_overlapped
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number
from simulator.ops.work import ExpertExchange


def shares(span: Span) -> tuple[float, float]:
    """(share of the copies that crosses the network, share that uses the scale-up links)."""
    if span.outer is None:
        return 0.0, 1.0 - 1.0 / span.ranks
    across = 1.0 - 1.0 / span.domains
    return across, 1.0 - across


@lru_cache(maxsize=1024)
def expected_largest(draws: int) -> float:
    """Expected largest of ``draws`` standard normal draws, Blom's approximation; 0 for one draw."""
    return NormalDist().inv_cdf((draws - 0.375) / (draws + 0.25)) if draws > 1 else 0.0


def busiest_messages(term: ExpertExchange) -> Number:
    """Messages of the rank that receives the most when experts are drawn evenly."""
    messages = np.asarray(term.tokens, dtype=np.float64) * term.topk
    return messages + expected_largest(term.ranks) * np.sqrt(messages)


def low_latency_seconds(
    term: ExpertExchange, span: Span, values: Mapping[str, float], *, packs: bool
) -> tuple[Number, Number, Number]:
    """(seconds, seconds of the network port, seconds of the scale-up links).

    values: starts and hops (multiples of the link tier's), expert (dispatch), link_share, gap (bytes of link time
    between two messages), combine_rate (bytes per second a device packs), nic_share, overlap (of ports and packing).
    packs: whether combined copies are packed by load and store rather than by bulk copies.
    """
    volume = busiest_messages(term) * term.copy_bytes
    across, inside = shares(span)
    rate = values["link_share"] * span.inner.bandwidth * term.copy_bytes / (term.copy_bytes + values["gap"])
    links = inside * volume / rate
    ports = links
    if packs and term.direction == "combine":
        ports = partly_overlapped(links, inside * volume / values["combine_rate"], values["overlap"])
    if span.outer is None:
        return _latency(term, span, values) + ports, 0.0 * links, links
    network = across * volume / (values["nic_share"] * span.outer.bandwidth)
    return _latency(term, span, values) + partly_overlapped(network, ports, values["overlap"]), network, links


def _latency(term: ExpertExchange, span: Span, values: Mapping[str, float]) -> float:
    """Seconds before the first and after the last byte."""
    peers = min(span.per_domain, span.ranks) - 1
    latency = values["starts"] * span.inner.start + values["hops"] * span.inner.latency * peers
    if term.direction == "dispatch":
        latency += values["expert"] * term.experts / term.ranks
    if span.outer is not None and span.domains > 1:
        latency += span.outer.latency * (1.0 + log2(span.domains))
    return latency
