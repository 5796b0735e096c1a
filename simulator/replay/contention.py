"""Vectorised event stepping for segments in which flows can share links.

All scenarios advance in lockstep, each at its own time: one step takes every scenario to its next finish, starts
what has become ready, and, once nothing more can happen in that instant, settles the shares of the links. The rules are
those of the reference engine; only the bookkeeping is by arrays [tracks, scenarios]; a track queues one stream.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulator.replay.program import Times

NEVER = np.iinfo(np.int64).max

Ids = tuple[tuple[int, ...], ...]
Mask = npt.NDArray[np.bool_]


def step_times(rows: Sequence[int], waits: Ids, streams: Ids, links: Ids, durations: Times) -> tuple[Times, Times]:
    """Start and finish of every node of a segment that begins at 0; durations [rows, scenarios]."""
    state = _State(rows, waits, streams, links, durations)
    while state.advance():
        pass
    return state.start[:-1], state.finish[:-1]


class _State:
    """Heads of the tracks and what they are doing.

    work: full-rate duration left at the last settlement. sharers: flows on the busiest link then (0: not settled yet).
    ends: planned finish of the head, NEVER while it waits.
    """

    def __init__(self, rows: Sequence[int], waits: Ids, streams: Ids, links: Ids, durations: Times) -> None:
        n, scenarios = len(rows), durations.shape[1]
        self.queues = _queues(streams)
        self.waits = _padded(waits, n)
        self.uses = _incidence(links)
        self.total = np.concatenate([durations[list(rows)], np.zeros((1, scenarios), np.int64)])
        self.start = np.full((n + 1, scenarios), NEVER)
        self.finish = np.full((n + 1, scenarios), NEVER)
        self.none = n
        self.column = np.arange(scenarios)
        self.position = np.zeros((len(self.queues), scenarios), np.int64)
        self.head = np.repeat(self.queues[:, :1], scenarios, axis=1)
        self.running = np.zeros(self.head.shape, dtype=bool)
        self.ends = np.full(self.head.shape, NEVER)
        self.work = np.zeros(self.head.shape, np.int64)
        self.sharers = np.zeros(self.head.shape, np.int64)
        self.settled = np.zeros(self.head.shape, np.int64)
        self.now = np.zeros(scenarios, np.int64)
        self._start_ready()

    def advance(self) -> bool:
        """One step of every scenario; False once all have ended."""
        self.now = self.ends.min(axis=0)
        if np.all(self.now == NEVER):
            return False
        self._finish_due()
        self._start_ready()
        return True

    def _finish_due(self) -> None:
        track, column = np.nonzero(self.running & (self.ends == self.now))
        self.finish[self.head[track, column], column] = self.now[column]
        self.running[track, column] = False
        self.ends[track, column] = NEVER
        self.sharers[track, column] = 0
        self.position[track, column] += 1
        self.head[track, column] = self.queues[track, self.position[track, column]]

    def _start_ready(self) -> None:
        track, column = np.nonzero(~self.running & (self.head != self.none))
        node = self.head[track, column]
        ready = np.all(self._arrived(node, column), axis=0)
        track, column, node = track[ready], column[ready], node[ready]
        now, work = self.now[column], self.total[node, column]
        self.start[node, column] = now
        self.running[track, column] = True
        self.work[track, column] = work
        shares = self.uses[node].any(axis=1) & (work > 0)
        self.ends[track, column] = np.where(shares, NEVER, now + work)
        self._settle()

    def _arrived(self, node: Times, column: Times) -> Mask:
        waits = self.waits[:, node]
        return np.asarray((waits == self.none) | (self.finish[waits, column] != NEVER))

    def _settle(self) -> None:
        """Recount sharers where the instant is over; a flow whose count changed keeps its progress, with a new end."""
        over = ~np.any(self.running & (self.ends == self.now), axis=0)
        flowing = self.running & (self.work > 0) & over
        use = self.uses[self.head] & flowing[:, :, None]
        load = use.sum(axis=0)
        sharers = np.where(use, load[None], 0).max(axis=2, initial=0)
        track, column = np.nonzero(flowing & (sharers > 0) & (sharers != self.sharers))
        before, now = self.sharers[track, column], self.now[column]
        progress = np.where(before > 0, (now - self.settled[track, column]) // np.maximum(before, 1), 0)
        self.work[track, column] -= progress
        self.settled[track, column] = now
        self.sharers[track, column] = sharers[track, column]
        self.ends[track, column] = now + self.work[track, column] * sharers[track, column]


def _queues(streams: Ids) -> Times:
    """Nodes of each track in order, padded with the id past the last. A node queues on the first stream it occupies."""
    n = len(streams)
    tracks: dict[int, list[int]] = {}
    for i, used in enumerate(streams):
        tracks.setdefault(used[0] if used else -1 - i, []).append(i)
    width = max(len(t) for t in tracks.values()) + 1
    return np.array([t + [n] * (width - len(t)) for t in tracks.values()], dtype=np.int64)


def _padded(waits: Ids, n: int) -> Times:
    """Predecessors as [most, n + 1], padded with n."""
    most = max(1, max(len(w) for w in waits))
    table = np.full((most, n + 1), n, dtype=np.int64)
    for i, before in enumerate(waits):
        table[: len(before), i] = before
    return table


def _incidence(links: Ids) -> Mask:
    """Which node uses which of the links, [n + 1, links]."""
    used = sorted({link for route in links for link in route})
    column = {link: c for c, link in enumerate(used)}
    table = np.zeros((len(links) + 1, len(used)), dtype=bool)
    for i, route in enumerate(links):
        table[i, [column[link] for link in route]] = True
    return table
