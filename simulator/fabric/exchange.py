"""Cost of one expert dispatch or combine: placement, algorithm by stack and mode, what it occupies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.devices.cost import ZERO, Cost
from simulator.fabric import expert_direct, expert_low_latency, expert_normal, expert_switched, torus
from simulator.fabric.stack import CommStack, Protocol
from simulator.fabric.topology import Span, place, unit_of
from simulator.ops.tensor import Number
from simulator.ops.work import ExpertExchange
from simulator.profiles.system import System


def exchange_cost(
    term: ExpertExchange,
    system: System,
    stack: CommStack,
    *,
    span: Span | None = None,
    sms: Number | None = None,
    kernel: str = "",
) -> Cost:
    """Cost of ``term`` for one rank; arrays in its tokens (or in ``sms``) give arrays.

    span: where the ranks lie (None = contiguous). sms: SMs that move data in normal mode (None = the stack's default).
    kernel: a named kernel of the stack. ValueError: the group does not fit. KeyError: the stack lacks the mode.
    Busy names: latency, the ports (nvlink, nic, ici, hccs, ub ...) and sm_copy.
    """
    if term.ranks <= 1:
        return ZERO
    where = span or place(system, term.ranks)
    facts = {"mode": term.mode, "direction": term.direction, "scope": "inside" if where.outer is None else "across"}
    found = stack.find(kernel, **facts) if kernel else None
    found = found or stack.need("exchange", **facts)
    seconds, busy = _seconds(term, where, found, sms)
    seconds = np.maximum(seconds, floor_seconds(term, where))
    ports = np.broadcast_arrays(*[np.asarray(v, dtype=np.float64) for k, v in busy.items() if k != "sm_copy"])
    busy["latency"] = np.maximum(seconds - np.maximum.reduce(ports), 0.0)
    return Cost(_plain(seconds), {k: _plain(v) for k, v in busy.items()}, {"wire": _plain(_wire(term, where))})


def floor_seconds(term: ExpertExchange, span: Span) -> Number:
    """Roofline: the copies that must leave the rank over the datasheet rate of its ports."""
    if span.outer is None:
        remote, rate = expert_normal.copies(term, term.ranks) * (1 - 1 / term.ranks), span.inner.bandwidth
    else:
        remote, rate = expert_normal.copies(term, span.domains) * (1 - 1 / span.domains), span.outer.bandwidth
    ports = rate * span.cores / span.cores
    return np.asarray(term.tokens, dtype=np.float64) * remote * term.copy_bytes / ports


def _wire(term: ExpertExchange, span: Span) -> Number:
    if term.mode == "low_latency":
        return np.asarray(term.wire_bytes(), dtype=np.float64)
    remote = expert_normal.copies(term, term.ranks) * (1 - 1 / term.ranks)
    return np.asarray(term.tokens, dtype=np.float64) * remote * term.copy_bytes


def _seconds(term: ExpertExchange, span: Span, found: Protocol, sms: Number | None) -> tuple[Number, dict[str, Number]]:
    algorithm, unit = str(found.traits["algorithm"]), unit_of(span.inner_name)
    values = found.values
    if algorithm == "torus":
        return _torus(term, span, values)
    if algorithm == "switched":
        seconds, links = expert_switched.switched_seconds(term, span, values)
        return seconds, {unit: links}
    if algorithm == "direct":
        counts = {name: int(found.traits[name]) for name in ("rounds", "tray") if name in found.traits}
        local = bool(found.traits.get("local", False))
        seconds, links = expert_direct.direct_seconds(term, span, values, local=local, **counts)
        return seconds, {unit: links}
    if algorithm == "low_latency":
        packs = bool(found.traits.get("packs", True))
        seconds, network, links = expert_low_latency.low_latency_seconds(term, span, values, packs=packs)
        return seconds, {unit: links, "nic": network}
    return _normal(term, span, found, sms)


def _normal(term: ExpertExchange, span: Span, found: Protocol, sms: Number | None) -> tuple[Number, dict[str, Number]]:
    engines = float(found.traits["sms"]) if sms is None else np.asarray(sms, dtype=np.float64)
    run = expert_normal.inside_seconds if span.outer is None else expert_normal.across_seconds
    seconds, copying, port = run(term, span, engines, found.values)
    return seconds, {unit_of(span.inner_name if span.outer is None else span.outer_name): port, "sm_copy": copying}


def _torus(term: ExpertExchange, span: Span, values: Mapping[str, float]) -> tuple[Number, dict[str, Number]]:
    """One copy per distinct rank, spread over the torus; all ranks of a chip share its links."""
    copies = expert_normal.copies(term, term.ranks)
    payload = np.asarray(term.tokens, dtype=np.float64) * copies * term.copy_bytes * span.cores * span.sharing
    links = torus.exchange_seconds(payload, span.inner_devices, span.inner, share=values["share"])
    busy: dict[str, Number] = {unit_of(span.inner_name): links}
    seconds = span.inner.start + links
    if span.outer is not None:
        network = payload * (1.0 - 1.0 / span.domains) / (values["share"] * span.outer.bandwidth)
        busy[unit_of(span.outer_name)] = network
        seconds = seconds + span.outer.start + span.outer.latency + network
    return seconds, busy


def _plain(value: Number) -> Number:
    return value if np.ndim(value) else float(value)
