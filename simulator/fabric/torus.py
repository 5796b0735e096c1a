"""Collectives on a torus or mesh of direct links (TPU ICI).

Symbols: V bytes of the full array, W one link one way, n chips, a axes in use. Wrapped axes send both ways round:
all-gather or reduce-scatter V (n - 1) / n / (2 W a); a line has one useful direction per link and its end chips one
link, V (n - 1) / n / (W a). All-reduce is both. All-to-all is bound by the worst of injection, hop-weighted and
bisection traffic. Source: jax-ml/scaling-book@0819a7d, sharding.md and tpus.md.
"""

from __future__ import annotations

from math import prod

from simulator.ops.tensor import Number
from simulator.profiles.system import Tier

PASSES = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "broadcast": 1.0}


def used_axes(tier: Tier, chips: int) -> tuple[tuple[int, bool], ...]:
    """(length, wrapped) of the axes a contiguous group of ``chips`` covers.

    Whole axes are taken longest first while they fit; what is left over is a line on the next axis.
    """
    axes = tier.axes or (int(tier.scope),)
    wrapped = tier.wrapped or (False,) * len(axes)
    if chips >= prod(axes):
        return tuple(zip(axes, wrapped, strict=True))
    left, used = chips, []
    for length, closes in sorted(zip(axes, wrapped, strict=True), reverse=True):
        if left <= 1:
            break
        if left % length == 0:
            used.append((length, closes))
            left //= length
        elif left < length:
            used.append((left, False))
            left = 1
    if left > 1:
        used.append((left, False))
    return tuple(used)


def axis_bandwidth(tier: Tier, axes: tuple[tuple[int, bool], ...]) -> float:
    """Useful bytes per second of one chip over the axes in use, one direction counted once."""
    return sum(tier.per_link * (2.0 if wrapped else 1.0) for _, wrapped in axes) or tier.per_link


def hops(axes: tuple[tuple[int, bool], ...]) -> float:
    """Hops to the farthest chip."""
    return float(sum(length // 2 if wrapped else length - 1 for length, wrapped in axes))


def gather_seconds(kind: str, payload: Number, chips: int, tier: Tier, *, share: float, sharing: int = 1) -> Number:
    """All-gather, reduce-scatter or all-reduce over ``chips`` chips; ``sharing`` groups use the same links."""
    axes = used_axes(tier, chips)
    rate = share * axis_bandwidth(tier, axes) / sharing
    return PASSES[kind] * (hops(axes) * tier.latency + payload * (chips - 1) / chips / rate)


def mean_distance(length: int, wrapped: bool) -> float:
    """Mean hops between two random positions of an axis (own position included)."""
    if wrapped:
        return (length * length // 4) / length
    return (length * length - 1) / (3.0 * length)


def exchange_rate(tier: Tier, chips: int) -> float:
    """Bytes per second at which every chip can send uniformly to all others (own share included in the bytes).

    The least of: injection (all links of a chip), hop-weighted (bytes x mean hops over all links) and bisection (half
    of the traffic of one half crosses the cut of the longest axis).
    """
    axes = used_axes(tier, chips)
    injection = sum(tier.per_link * (2.0 if wrapped or length > 2 else 1.0) for length, wrapped in axes)
    directed = sum(chips / length * (2 * length if wrapped else 2 * (length - 1)) for length, wrapped in axes)
    weighted = directed * tier.per_link / (chips * sum(mean_distance(length, wrapped) for length, wrapped in axes))
    cuts = [
        (chips / length) * (2.0 if wrapped else 1.0) * tier.per_link / (chips / 2 * (length - length // 2) / length)
        for length, wrapped in axes
    ]
    return min(injection, weighted, *cuts)


def exchange_seconds(payload: Number, chips: int, tier: Tier, *, share: float) -> Number:
    """All-to-all: payload = send buffer of one chip, own share included."""
    if chips <= 1:
        return 0.0
    axes = used_axes(tier, chips)
    return hops(axes) * tier.latency + payload / (share * exchange_rate(tier, chips))
