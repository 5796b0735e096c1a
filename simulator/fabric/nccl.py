"""NCCL's choice among protocols and algorithms for one collective.

LL (4 data bytes per 8, a flag with every word), LL128 (120 of 128) and Simple (bulk copies with fences) trade start-up for
rate; NVLS lets the switch add. NCCL's tuner leaves the two low-latency protocols at a payload proportional to the rank
count and the link rate, then takes the cheaper of Simple and NVLS. Source: NVIDIA NCCL src/graph/tuning.cc (structure).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from simulator.fabric import in_switch, ring
from simulator.fabric.stack import CommStack
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number

Values = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NcclValues:
    """Stack values of NCCL on one topology. tuner: local_pass, handover, nic_share. None = protocol not offered."""

    tuner: Values
    ll: Values
    simple: Values
    chunk: float
    ll128: Values | None = None
    nvls: Values | None = None


def nccl_values(stack: CommStack, topology: str) -> NcclValues:
    """Collect what the ring needs from the stack."""
    simple = stack.need("Simple", topology=topology)
    ll128, nvls = stack.find("LL128", topology=topology), stack.find("NVLS", topology=topology)
    return NcclValues(
        tuner=stack.need("tuner", topology=topology).values,
        ll=stack.need("LL", topology=topology).values,
        simple=simple.values,
        chunk=float(simple.traits["chunk"]),
        ll128=ll128.values if ll128 else None,
        nvls=nvls.values if nvls else None,
    )


def path_of(kind: str, span: Span, nic_share: float) -> ring.Path:
    """The ring's start, hop time and rate on ``span``.

    Between domains the per_domain ranks of a domain drive their network ports side by side, and the steps across follow a
    tree of depth log2(domains).
    """
    inner, passes = span.inner, ring.STEPS[kind]
    if span.outer is None:
        return ring.Path(inner.start, passes * (span.ranks - 1) * inner.latency, inner.bandwidth)
    steps = (span.per_domain - 1) * inner.latency + ceil(log2(span.domains)) * span.outer.latency
    border = span.per_domain * span.outer.bandwidth * nic_share
    rate = min(inner.bandwidth, border) if span.per_domain > 1 else border
    return ring.Path(inner.start + span.outer.start, passes * steps, rate)


def ring_protocols(kind: str, payload: Number, span: Span, values: NcclValues) -> tuple[Number, Number]:
    """(the better low-latency protocol, Simple) in seconds."""
    path, n = path_of(kind, span, values.tuner["nic_share"]), span.ranks
    local, simple = values.tuner["local_pass"], values.simple
    low: Number = ring.protocol_seconds(kind, payload, n, path, share=values.ll["share"], hops=1.0, local=local)
    if values.ll128 is not None:
        share, hops = values.ll128["share"], values.ll128["hops"]
        low = np.minimum(low, ring.protocol_seconds(kind, payload, n, path, share=share, hops=hops, local=local))
    share, hops, start = simple["share"], simple["hops"], simple["start"]
    bulk = ring.protocol_seconds(kind, payload, n, path, share=share, hops=hops, local=local, start=start)
    fill = ring.fill_seconds(payload, n, share * path.bandwidth, simple["fill"], values.chunk)
    return low, bulk + fill


def ring_or_switch(kind: str, payload: Number, span: Span, values: NcclValues) -> Number:
    """Seconds of an all-reduce, all-gather, reduce-scatter or broadcast of ``payload`` bytes."""
    low, bulk = ring_protocols(kind, payload, span, values)
    nvls = values.nvls
    if span.outer is None and nvls is not None and in_switch.applies(kind, span.ranks, span.inner):
        reduced = in_switch.in_switch_seconds(
            payload,
            span.ranks,
            span.inner,
            share=nvls["share"],
            start=nvls["start"],
            fill=nvls["fill"],
            chunk=values.chunk,
        )
        bulk = np.minimum(bulk, reduced)
    leave = values.tuner["handover"] * span.ranks * path_of(kind, span, 1.0).bandwidth
    return np.where(payload < leave, low, bulk)
