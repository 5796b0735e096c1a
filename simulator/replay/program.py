"""What the replay engines execute: a frozen program of nodes on in-order streams and shared links.

A node starts when its inputs are done and it is its turn on every stream it occupies. A node that occupies links is a
*flow*: the links of its route are shared fairly with the other flows on them. Times are integer picoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Times: TypeAlias = npt.NDArray[np.int64]

PS_PER_SECOND = 10**12


@dataclass(frozen=True, slots=True)
class Stream:
    """An in-order queue of one rank (class): name is "compute", "comm" or "copy"."""

    rank: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """``n`` nodes in topological order; node ids are positions and break all ties.

    deps: input nodes of each node. streams: indices into ``stream_table`` of the streams each node occupies (a
    collective over several unfolded ranks occupies the stream of each). links: ids of the links a flow occupies, () if
    it is none. rows: which row of the duration array holds the time of each node (nodes of one template share a row).
    names, categories: labels of each node. multiplicity: how many equal ranks each rank class stands for.
    origin: what each node was built from (id in the operator graph), -1 if nothing.
    """

    names: tuple[str, ...]
    categories: tuple[str, ...]
    deps: tuple[tuple[int, ...], ...]
    streams: tuple[tuple[int, ...], ...]
    links: tuple[tuple[int, ...], ...]
    rows: tuple[int, ...]
    stream_table: tuple[Stream, ...]
    link_names: tuple[str, ...] = ()
    multiplicity: tuple[int, ...] = (1,)
    origin: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        n = len(self.deps)
        if {len(self.names), len(self.categories), len(self.streams), len(self.links), len(self.rows)} != {n}:
            raise ValueError("every node needs one entry in names, categories, deps, streams, links and rows")
        for i, inputs in enumerate(self.deps):
            if inputs and (min(inputs) < 0 or max(inputs) >= i):
                raise ValueError(f"node {i} ({self.names[i]}) has inputs {inputs}: nodes must be in topological order")
        _check_range("stream", self.streams, len(self.stream_table))
        _check_range("link", self.links, len(self.link_names))
        if not self.origin:
            object.__setattr__(self, "origin", (-1,) * n)

    def __len__(self) -> int:
        return len(self.deps)

    @property
    def row_count(self) -> int:
        """Rows a duration array needs."""
        return max(self.rows, default=-1) + 1

    def durations(self, durations_ps: npt.ArrayLike) -> Times:
        """The duration array as int64, [rows] or [rows, scenarios]; ValueError if it does not fit or is negative."""
        array = np.asarray(durations_ps)
        if array.dtype.kind not in "iu":
            raise ValueError(f"durations are integer picoseconds, got {array.dtype}")
        if array.ndim not in (1, 2) or array.shape[0] < self.row_count:
            raise ValueError(f"durations have shape {array.shape}; need {self.row_count} rows (and scenarios)")
        if array.size and array.min() < 0:
            raise ValueError("durations must not be negative")
        return array.astype(np.int64, copy=False)

    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """Inputs of each node joined with the previous node of each stream it occupies; sorted, no duplicates."""
        return _predecessors(self)


@lru_cache(maxsize=8)
def _predecessors(program: Program) -> tuple[tuple[int, ...], ...]:
    last: list[int] = [-1] * len(program.stream_table)
    result = []
    for i, (inputs, streams) in enumerate(zip(program.deps, program.streams, strict=True)):
        before = {*inputs, *[last[s] for s in streams]}
        before.discard(-1)
        result.append(tuple(sorted(before)) if len(before) > 1 else tuple(before))
        for s in streams:
            last[s] = i
    return tuple(result)


def _check_range(what: str, ids: tuple[tuple[int, ...], ...], count: int) -> None:
    for used in set(ids):
        if any(not 0 <= x < count for x in used) or len(set(used)) != len(used):
            raise ValueError(f"node {ids.index(used)}: {what} ids {used} must be distinct and below {count}")


def picoseconds(seconds: npt.ArrayLike) -> Times:
    """Seconds rounded to the nearest integer picosecond; ValueError for NaN, infinite or negative times."""
    values = np.asarray(seconds, dtype=np.float64)
    if not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError("durations must be finite and not negative")
    return np.rint(values * PS_PER_SECOND).astype(np.int64)
