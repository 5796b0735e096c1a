"""NCCL's choice among protocols and algorithms for one collective.

LL (4 data bytes per 8, a flag with every word), LL128 (120 of 128) and Simple (bulk copies with fences) trade
start-up for rate; NVLS lets the switch add. NCCL's tuner takes what it thinks cheapest, and so does the model. Source:
NVIDIA NCCL src/graph/tuning.cc (structure).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log2

import numpy as np

from simulator.fabric import in_switch, ring
from simulator.fabric.stack import CommStack, Protocol
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RingProtocol:
    """A ring protocol: share of the port, hop times per step, extra start, fill, payload per byte sent, chunk."""

    share: float
    hops: float = 1.0
    start: float = 0.0
    fill: float = 0.0
    data: float = 1.0
    chunk: float = 0.0


@dataclass(frozen=True, slots=True)
class NcclValues:
    """Stack values of NCCL on one topology. tuner: local_pass, nic_share. None = not offered there."""

    tuner: Values
    ll: RingProtocol
    simple: RingProtocol
    ll128: RingProtocol | None = None
    nvls: Values | None = None


@lru_cache(maxsize=1024)
def nccl_values(stack: CommStack, topology: str) -> NcclValues:
    """Collect what the ring needs from the stack."""
    ll128, nvls = stack.find("LL128", topology=topology), stack.find("NVLS", topology=topology)
    return NcclValues(
        tuner=stack.need("tuner", topology=topology).values,
        ll=_protocol(stack.need("LL", topology=topology)),
        simple=_protocol(stack.need("Simple", topology=topology)),
        ll128=_protocol(ll128) if ll128 else None,
        nvls=nvls.values if nvls else None,
    )


def _protocol(found: Protocol) -> RingProtocol:
    sent = {"data": float(found.traits.get("data", 1.0)), "chunk": float(found.traits.get("chunk", 0.0))}
    return RingProtocol(**{**found.values, **sent})


def path_of(kind: str, span: Span, nic_share: float) -> ring.Path:
    """The ring's start, hop time and rate on ``span``.

    Between domains the per_domain ranks of a domain drive their network ports side by side (up to the uplink of the
    domain), and the steps across follow a tree of depth log2(domains).
    """
    inner, passes = span.inner, ring.STEPS[kind]
    if span.outer is None:
        return ring.Path(inner.start, passes * (span.ranks - 1) * inner.latency, inner.bandwidth)
    steps = (span.per_domain - 1) * inner.latency + ceil(log2(span.domains)) * span.outer.latency
    border = nic_share * border_bandwidth(span)
    return ring.Path(inner.start + span.outer.start, passes * steps, inner.bandwidth, border)


def border_bandwidth(span: Span) -> float:
    """Bytes per second at which the ranks of one domain together reach the network."""
    if span.outer is None:
        return float("inf")
    ports = span.per_domain * span.outer.bandwidth
    return min(ports, span.outer.uplink) if span.outer.uplink else ports


def ring_protocols(kind: str, payload: Number, span: Span, values: NcclValues) -> tuple[Number, Number]:
    """(the better low-latency protocol, Simple) in seconds."""
    path = path_of(kind, span, values.tuner["nic_share"])
    low = _ring(kind, payload, span.ranks, path, values.ll, values.tuner)
    if values.ll128 is not None:
        low = np.minimum(low, _ring(kind, payload, span.ranks, path, values.ll128, values.tuner))
    return low, _ring(kind, payload, span.ranks, path, values.simple, values.tuner)


def _ring(kind: str, payload: Number, ranks: int, path: ring.Path, by: RingProtocol, tuner: Values) -> Number:
    local = tuner["local_pass"]
    seconds = ring.protocol_seconds(
        kind, payload, ranks, path, share=by.share, hops=by.hops, local=local, data=by.data, start=by.start
    )
    if by.fill:
        seconds = seconds + ring.fill_seconds(payload, ranks, path.rate(by.share, by.data), by.fill, by.chunk)
    return seconds


def ring_or_switch(kind: str, payload: Number, span: Span, values: NcclValues) -> Number:
    """Seconds of an all-reduce, all-gather, reduce-scatter or broadcast of ``payload`` bytes."""
    low, bulk = ring_protocols(kind, payload, span, values)
    nvls = values.nvls
    if span.outer is None and nvls is not None and in_switch.applies(kind, span.ranks, span.inner):
        reduced = in_switch.in_switch_seconds(
            payload,
            span.ranks,
            span.inner,
            share=values.simple.share * nvls["efficiency"],
            start=nvls["start"],
            local=values.tuner["local_pass"],
            fill=values.simple.fill,
            chunk=values.simple.chunk,
        )
        bulk = np.minimum(bulk, reduced)
    return np.minimum(low, bulk)
