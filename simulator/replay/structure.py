"""Static analysis of a program: cuts, equal segments, redundant edges, and where links can really be shared.

A *cut* is a node that every earlier node precedes and that precedes every later node. Whatever happens between two cuts
depends on nothing but the time of the first, so segments of equal shape (the repeated layers) are evaluated once and
shifted. This is exact for integers: shifting all times of a replay by a constant gives a replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from simulator.replay.contention import step_times
from simulator.replay.program import Program, Times
from simulator.replay.recurrence import Plan, node_times, plan_length, plan_of

Edges = tuple[tuple[int, ...], ...]

PRECISE_LIMIT = 20_000  # nodes in a segment beyond which ancestor sets would cost too much memory


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes between two cuts (or one cut), relative to the first.

    rows, streams, links: as in the program. waits: predecessors of each node inside the segment that are not implied by
    others. shared: two of its flows could be on one link at the same time. plan: how to evaluate it if not.
    """

    rows: tuple[int, ...]
    waits: Edges
    streams: Edges
    links: Edges
    shared: bool
    plan: Plan

    def __len__(self) -> int:
        return len(self.rows)

    def times(self, durations: Times) -> tuple[Times, Times]:
        """Start and finish of the nodes if the segment begins at 0; durations [rows, scenarios]."""
        if self.shared:
            return step_times(self.rows, self.waits, self.streams, self.links, durations)
        return node_times(self.rows, self.waits, durations)

    def length(self, durations: Times) -> Times:
        """Latest finish if the segment begins at 0; durations [rows, scenarios]."""
        if self.shared:
            return np.asarray(self.times(durations)[1].max(axis=0), dtype=np.int64)
        return plan_length(self.plan, durations)


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """shapes: distinct segments. sequence: (first node, index into shapes) in order. counts: uses of each shape."""

    shapes: tuple[Segment, ...]
    sequence: tuple[tuple[int, int], ...]
    counts: tuple[int, ...]


@lru_cache(maxsize=64)
def structure_of(program: Program) -> Structure:
    """Segments of a program; cached by program identity."""
    predecessors = program.predecessors()
    return _structure(program, predecessors, _bounds(cut_nodes(predecessors)))


@lru_cache(maxsize=8)
def uncut_structure_of(program: Program) -> Structure:
    """The whole program as one segment: what repeated layers are measured and tested against."""
    return _structure(program, program.predecessors(), [(0, len(program))])


def _structure(program: Program, predecessors: Edges, bounds: list[tuple[int, int]]) -> Structure:
    seen: dict[tuple[object, ...], int] = {}
    shapes: list[Segment] = []
    sequence: list[tuple[int, int]] = []
    counts: list[int] = []
    for first, end in bounds:
        inside = tuple(tuple(p - first for p in predecessors[i] if p >= first) for i in range(first, end))
        part = slice(first, end)
        key = (program.rows[part], inside, program.streams[part], program.links[part])
        index = seen.setdefault(key, len(shapes))
        if index == len(shapes):
            shapes.append(_segment(program, first, end, inside))
            counts.append(0)
        counts[index] += 1
        sequence.append((first, index))
    return Structure(tuple(shapes), tuple(sequence), tuple(counts))


def cut_nodes(predecessors: Sequence[tuple[int, ...]]) -> list[bool]:
    """Whether each node joins everything before it and releases everything after it. Linear in the number of edges.

    All earlier nodes lead to node i exactly if it waits directly for every node that leads nowhere else yet.
    """
    n = len(predecessors)
    successors: list[list[int]] = [[] for _ in range(n)]
    for i, before in enumerate(predecessors):
        for p in before:
            successors[p].append(i)
    joins = _joins(predecessors)
    mirrored = [[n - 1 - s for s in after] for after in reversed(successors)]
    releases = _joins(mirrored)
    return [joins[i] and releases[n - 1 - i] for i in range(n)]


def _joins(predecessors: Sequence[Sequence[int]]) -> list[bool]:
    open_ends = 0
    is_open = [True] * len(predecessors)
    result = []
    for before in predecessors:
        closing = [p for p in before if is_open[p]]
        result.append(len(closing) == open_ends)
        for p in closing:
            is_open[p] = False
        open_ends += 1 - len(closing)
    return result


def _bounds(cuts: list[bool]) -> list[tuple[int, int]]:
    """(first, end) of segments: every cut alone, the nodes between cuts together."""
    bounds = []
    first = 0
    for i, cut in enumerate(cuts):
        if cut:
            if first < i:
                bounds.append((first, i))
            bounds.append((i, i + 1))
            first = i + 1
    if first < len(cuts):
        bounds.append((first, len(cuts)))
    return bounds


def _segment(program: Program, first: int, end: int, inside: Edges) -> Segment:
    part = slice(first, end)
    links = program.links[part]
    if end - first > PRECISE_LIMIT:
        waits, shared = inside, _share_any_link(links)
    else:
        ancestors = _ancestors(inside)
        waits, shared = tuple(_needed(before, ancestors) for before in inside), _can_meet(links, ancestors)
    rows = program.rows[part]
    return Segment(rows, waits, program.streams[part], links, shared, plan_of(rows, waits))


def _ancestors(predecessors: Sequence[tuple[int, ...]]) -> list[int]:
    """Ancestor set of each node as a bit mask."""
    masks: list[int] = []
    for before in predecessors:
        mask = 0
        for p in before:
            mask |= masks[p] | (1 << p)
        masks.append(mask)
    return masks


def _needed(before: tuple[int, ...], ancestors: list[int]) -> tuple[int, ...]:
    """Predecessors that are not ancestors of other predecessors."""
    if len(before) < 2:
        return before
    implied = 0
    for p in before:
        implied |= ancestors[p]
    return tuple(p for p in before if not implied >> p & 1)


def _can_meet(links: Edges, ancestors: list[int]) -> bool:
    """Whether two flows that share a link are unordered."""
    users: dict[int, list[int]] = {}
    for i, used in enumerate(links):
        for link in used:
            users.setdefault(link, []).append(i)
    return any(not ancestors[b] >> a & 1 for flows in users.values() for a, b in combinations(flows, 2))


def _share_any_link(links: Edges) -> bool:
    used = [link for route in links for link in route]
    return len(used) != len(set(used))
