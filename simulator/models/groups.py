"""Request groups of a step: what works per request (caches, attention, states) runs once a group, the rest once.

A plain step is its own only group. A mixed step has two, decode and prefill; outside of the groups its tokens are laid out as
one request, [T, ..] or [1, T, ..], decoding requests first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.models.builder import Builder, Context
from simulator.ops.views import Concat, Reshape, Slice

NO_VALUE = -1  # positions and ids of a group are values to pass along like any other
PerGroup = tuple[int, ...]
"""One value a group, in the order of the step's groups."""


def each(b: Builder, c: Context, body: Callable[..., int], *values: int | PerGroup) -> PerGroup:
    """``body(context of the group, its part of every value)`` for each group of the step; values of all tokens are cut."""
    if not c.step.groups:
        return (body(c, *(v if isinstance(v, int) else v[0] for v in values)),)
    found = []
    for index, shape in enumerate(c.step.groups):
        with b.group(shape.phase):
            parts = [_part(b, c, v, index) if isinstance(v, int) else v[index] for v in values]
            found.append(body(replace(c, step=shape, positions=NO_VALUE, ids=NO_VALUE), *parts))
    return tuple(found)


def join(b: Builder, c: Context, parts: PerGroup) -> int:
    """The groups' rows [T of the group, ..] one after the other; kernels write straight into the joined tensor."""
    return parts[0] if len(parts) == 1 else b.add("join_groups", Concat(axis=0, in_place=True), *parts)


def sampled_rows(b: Builder, c: Context, x: int, name: str) -> int:
    """x[T, h] of a mixed step -> the rows of all tokens that go through the head [1, s, h]."""
    width = b.spec(x).shape[-1]

    def last(g: Context, rows: int) -> int:
        count = int(g.step.head_tokens)
        rows = b.add(f"{name}sampled_rows", Reshape((g.step.batch, g.step.q_len, width)), rows)
        rows = rows if count == g.step.q_len else b.add(f"{name}last", Slice(1, -count, count), rows)
        return b.add(f"{name}last_rows", Reshape((-1, width)), rows)

    return b.add(f"{name}rows", Reshape((1, -1, width)), join(b, c, each(b, c, last, x)))


def _part(b: Builder, c: Context, value: int, index: int) -> int:
    """The tokens of one group: rows of [T, ..], or requests [B, q, ..] of [1, T, ..]. Views, no bytes move."""
    shape = c.step.groups[index]
    start = int(sum(g.tokens for g in c.step.groups[:index]))
    spec = b.spec(value)
    by_request = isinstance(spec.shape[0], int) and spec.shape[0] == 1
    part = b.add("group_rows", Slice(1 if by_request else 0, start, int(shape.tokens)), value)
    if not by_request:
        return part
    rest = (
        (-1, *spec.shape[3:]) if len(spec.shape) > 2 else ()
    )  # heads, or channels of all heads, may be split over ranks
    return b.add("group_requests", Reshape((shape.batch, shape.q_len, *rest)), part)
