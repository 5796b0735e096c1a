"""Cost of one collective: placement, algorithm, what it occupies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.devices.cost import ZERO, Cost
from simulator.devices.overlap import partly_overlapped
from simulator.fabric import added, all_to_all, custom_all_reduce, mesh, nccl, send_recv, torus
from simulator.fabric.stack import CommStack
from simulator.fabric.topology import Span, place, unit_of
from simulator.ops.tensor import Number
from simulator.ops.work import Collective
from simulator.profiles.system import System


def collective_cost(term: Collective, system: System, span: Span | None, stack: CommStack) -> Cost:
    """Cost of ``term`` for one rank of its group; arrays in the payload give arrays.

    span: where the ranks lie (None = contiguous). ValueError: the group does not fit the system, or nobody
    described that kind.
    Busy names: latency (start and hops), and the ports it occupies (nvlink, nic, ici, hccs, ub ...).
    """
    if term.ranks <= 1:
        return ZERO
    where = span or place(system, term.ranks)
    payload = np.asarray(term.payload, dtype=np.float64)
    seconds = np.maximum(_seconds(term.kind, payload, where, stack), floor_seconds(term, where))
    busy = _busy(term, where, seconds)
    return Cost(_plain(seconds), {k: _plain(v) for k, v in busy.items()}, {"wire": term.wire_bytes()})


def floor_seconds(term: Collective, span: Span) -> Number:
    """Roofline: wire bytes over the datasheet rate of the innermost ports (in-switch reduction halves all-reduce)."""
    inner = span.inner
    rate = inner.bandwidth if span.per_domain > 1 else span.outer.bandwidth if span.outer else inner.bandwidth
    rate *= span.cores / span.sharing
    halved = 2.0 if term.kind == "all_reduce" and inner.reduces else 1.0
    return np.asarray(term.wire_bytes()) / (halved * rate)


def _seconds(kind: str, payload: Number, span: Span, stack: CommStack) -> Number:
    if kind not in added.BUILT_IN:
        return added.algorithm(kind)(payload, span, stack)
    if span.inner.topology == "torus":
        return _torus(kind, payload, span, stack)
    topology = span.inner.topology
    if stack.find("LL", topology=topology) is None:
        return _mesh(kind, payload, span, stack)
    if kind == "send_recv":
        return _send(payload, span, stack)
    if kind == "all_to_all":
        return _pairwise(payload, span, stack)
    base = nccl.ring_or_switch(kind, payload, span, nccl.nccl_values(stack, topology))
    own = stack.find("custom", topology=topology) if kind == "all_reduce" else None
    offset = stack.find("framework", topology=topology)
    if offset is not None:
        base = np.maximum(base - offset.values.get("launch_saved", 0.0), 0.0)
        base = base * offset.values.get("slowdown", 1.0)
        if "wait" in offset.values:
            base = partly_overlapped(base, offset.values["wait"], offset.values["wait_overlap"])
    if own is None or span.outer is not None or span.ranks > int(own.traits.get("most_ranks", span.ranks)):
        return base
    return _custom(payload, span, own.values, own.traits, base)


def _custom(
    payload: Number, span: Span, values: Mapping[str, float], traits: Mapping[str, object], base: Number
) -> Number:
    """Framework kernel below its size limit (or wherever it is cheaper), the library above."""
    n, tier = span.ranks, span.inner
    start = values.get("start", 0.0) + values.get("starts", 0.0) * tier.start
    peer = values.get("peer", 0.0) + values.get("hops", 0.0) * tier.latency
    own = custom_all_reduce.one_shot_seconds(payload, n, tier, start=start, peer=peer, share=values["one_shot_share"])
    if "two_shot_share" in values:
        share, barrier = values["two_shot_share"], values["barrier"]
        two = custom_all_reduce.two_shot_seconds(payload, n, tier, start=start, peer=peer, share=share, barrier=barrier)
        own = np.minimum(own, two)
    limit = traits.get("largest")
    if limit is None:
        return np.minimum(own, base)
    return np.where(payload <= float(str(limit)), own, base)


def _pairwise(payload: Number, span: Span, stack: CommStack) -> Number:
    found = stack.need("pairwise", topology=span.inner.topology)
    values = found.values
    channels = values.get("peer_channels", float("inf"))
    inner = all_to_all.pairwise_seconds(
        payload,
        span.ranks,
        span.inner,
        ll_share=values["ll_share"],
        share=values["share"],
        hops=values["hops"],
        start=values["start"],
        fill=values.get("fill", 0.0),
        chunk=float(found.traits.get("chunk", 0.0)),
        peer_rate=channels * values.get("channel_rate", 1.0),
    )
    if span.outer is None:
        return inner
    share = stack.need("tuner", topology=span.inner.topology).values["nic_share"]
    across = all_to_all.network_pairwise_seconds(payload, span.ranks, span.per_domain, span.outer, share=share)
    return np.maximum(inner, across) + span.outer.start + span.outer.latency


def _send(payload: Number, span: Span, stack: CommStack) -> Number:
    values = stack.need("send_recv", topology=span.inner.topology).values
    if span.outer is not None and span.per_domain == 1:
        tier, start = span.outer, span.inner.start + span.outer.start
        share = stack.need("tuner", topology=span.inner.topology).values["nic_share"]
        return start + payload / (share * tier.bandwidth)
    return send_recv.send_seconds(
        payload,
        span.inner,
        start=span.inner.start,
        ll_share=values["ll_share"],
        share=values["share"],
        pipeline=values["pipeline"],
    )


def _torus(kind: str, payload: Number, span: Span, stack: CommStack) -> Number:
    share = stack.need("torus", kind=kind).values["share"]
    tier, chips = span.inner, span.inner_devices
    if kind == "send_recv":
        return tier.start + tier.latency + payload / (share * tier.per_link)
    if kind == "all_to_all":
        inner = torus.exchange_seconds(payload * span.cores * span.sharing, chips, tier, share=share)
    else:
        inner = torus.gather_seconds(kind, payload, chips, tier, share=share, sharing=span.sharing)
    return tier.start + inner + _across(kind, payload, span, share)


def _mesh(kind: str, payload: Number, span: Span, stack: CommStack) -> Number:
    share = stack.need("mesh", kind=kind).values["share"]
    tier = span.inner
    if kind == "send_recv":
        one = tier if span.outer is None or span.per_domain > 1 else span.outer
        return one.start + one.latency + payload / (share * (one.per_link or one.bandwidth))
    inner = mesh.mesh_seconds(kind, payload, span.per_domain, tier, share=share) if span.per_domain > 1 else 0.0
    return tier.start + inner + _across(kind, payload, span, share)


def _across(kind: str, payload: Number, span: Span, share: float) -> Number:
    """The stage between domains: each rank exchanges its 1 / per_domain of the payload with its peers there."""
    if span.outer is None:
        return 0.0
    d, outer = span.domains, span.outer
    passes = 2.0 if kind == "all_reduce" else 1.0
    volume = payload * (d - 1) / d / (1.0 if kind == "all_to_all" else span.per_domain)
    depth = float(np.ceil(np.log2(d)))
    return outer.start + passes * (depth * outer.latency + volume / (share * outer.bandwidth))


def _busy(term: Collective, span: Span, seconds: Number) -> dict[str, Number]:
    """Seconds each port is occupied at its datasheet rate; the rest of the time is latency."""
    port = np.asarray(floor_seconds(term, span)) * np.ones_like(np.asarray(seconds))
    unit = unit_of(span.inner_name)
    busy: dict[str, Number] = {unit: port} if span.per_domain > 1 or span.outer is None else {}
    if span.outer is not None:
        share = (span.domains - 1) / span.domains / max(1, span.per_domain)
        passes = 2.0 if term.kind == "all_reduce" else 1.0
        busy[unit_of(span.outer_name)] = passes * share * np.asarray(term.payload) / span.outer.bandwidth
    largest = np.maximum.reduce([np.asarray(v, dtype=np.float64) for v in busy.values()])
    busy["latency"] = np.maximum(np.asarray(seconds) - largest, 0.0)
    return busy


def _plain(value: Number) -> Number:
    return value if np.ndim(value) else float(value)
