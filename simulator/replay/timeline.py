"""The outcome of a replay: when each node started and finished, and the questions asked of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.replay.program import Program, Times


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """start_ps, finish_ps: int64 [n] for one scenario or [n, scenarios]."""

    program: Program
    start_ps: Times
    finish_ps: Times

    def scenario(self, index: int) -> Timeline:
        """The timeline of one scenario."""
        if self.start_ps.ndim == 1:
            return self
        return Timeline(self.program, self.start_ps[:, index].copy(), self.finish_ps[:, index].copy())

    def makespan_ps(self) -> Times:
        """Time of the last finish, one per scenario."""
        return np.asarray(self.finish_ps.max(axis=0, initial=0), dtype=np.int64)

    def elapsed_ps(self) -> Times:
        """Finish minus start of each node."""
        return self.finish_ps - self.start_ps

    def busy_by_stream(self) -> dict[tuple[int, str], Times]:
        """Time each (rank class, stream) is occupied."""
        elapsed = self.elapsed_ps()
        return {
            (s.rank, s.name): self._total(elapsed, (i for i, used in enumerate(self.program.streams) if index in used))
            for index, s in enumerate(self.program.stream_table)
        }

    def busy_by_category(self) -> dict[str, Times]:
        """Time spent in nodes of each category, in order of first appearance; overlapping nodes both count."""
        members: dict[str, list[int]] = {}
        for i, category in enumerate(self.program.categories):
            members.setdefault(category, []).append(i)
        elapsed = self.elapsed_ps()
        return {category: self._total(elapsed, ids) for category, ids in members.items()}

    def exposed_ps(self, rank: int = 0, stream: str = "comm", behind: str = "compute") -> Times:
        """Time in which ``stream`` of the rank works while ``behind`` stands still: communication not hidden."""
        outer, inner = nodes_on(self.program, rank, stream), nodes_on(self.program, rank, behind)
        return uncovered(self.start_ps, self.finish_ps, outer, inner)

    def critical_path(self) -> tuple[int, ...]:
        """Nodes, first to last, each starting the moment its predecessor on the path ends (one scenario only)."""
        if self.start_ps.ndim != 1:
            raise ValueError("critical_path needs one scenario; use timeline.scenario(index)")
        if not len(self.program):
            return ()
        predecessors = self.program.predecessors()
        node = int(np.argmax(self.finish_ps))
        path = [node]
        while self.start_ps[node] > 0:
            ends = [p for p in predecessors[node] if self.finish_ps[p] == self.start_ps[node]]
            inputs = [p for p in ends if p in self.program.deps[node]]
            node = (inputs or ends)[0]
            path.append(node)
        return tuple(reversed(path))

    def _total(self, elapsed: Times, ids: Iterable[int]) -> Times:
        return np.asarray(elapsed[list(ids)].sum(axis=0), dtype=np.int64)


def nodes_on(program: Program, rank: int, stream: str) -> tuple[int, ...]:
    """Nodes that occupy a stream whose name starts with ``stream`` on the rank class."""
    wanted = {i for i, s in enumerate(program.stream_table) if s.rank == rank and s.name.startswith(stream)}
    return tuple(i for i, used in enumerate(program.streams) if wanted.intersection(used))


def uncovered(start: Times, finish: Times, outer: tuple[int, ...], inner: tuple[int, ...]) -> Times:
    """Length of time in which some node of ``outer`` runs and none of ``inner`` does; arrays [n] or [n, scenarios]."""
    shape = start.shape[1:]
    if not outer:
        return np.zeros(shape, dtype=np.int64)
    o, i = list(outer), list(inner)
    instants = np.concatenate([start[o], finish[o], start[i], finish[i]])
    order = np.argsort(instants, axis=0, kind="stable")
    instants = np.take_along_axis(instants, order, axis=0)
    active_outer = np.cumsum(_steps(len(o), 0, len(i))[order], axis=0, dtype=np.int32)
    active_inner = np.cumsum(_steps(len(i), 2 * len(o), 0)[order], axis=0, dtype=np.int32)
    alone = (active_outer[:-1] > 0) & (active_inner[:-1] == 0)
    return np.asarray(np.where(alone, np.diff(instants, axis=0), 0).sum(axis=0), dtype=np.int64)


def _steps(count: int, before: int, other: int) -> npt.NDArray[np.int8]:
    """+1 at starts, -1 at finishes of ``count`` nodes, with zeros for the other nodes around them."""
    zeros = np.zeros
    middle = [np.ones(count, np.int8), -np.ones(count, np.int8)]
    return np.concatenate([zeros(before, np.int8), *middle, zeros(2 * other, np.int8)])
