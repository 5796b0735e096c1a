"""What a sweep keeps of a replay: makespan, occupied time and communication that compute does not hide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from simulator.replay.batched import blocks
from simulator.replay.program import Program, Times
from simulator.replay.structure import Segment, Structure, structure_of
from simulator.replay.timeline import uncovered


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """Arrays are int64 [scenarios].

    busy_ps: occupied time by (rank class, stream name). category_ps: time by node category, overlaps counted twice.
    exposed_ps: by rank class, time in which communication runs and compute stands still.
    """

    makespan_ps: Times
    busy_ps: dict[tuple[int, str], Times]
    category_ps: dict[str, Times]
    exposed_ps: dict[int, Times]


Key = TypeVar("Key", bound=Hashable)
Uses = tuple[tuple[int, int, int], ...]  # (shape, node of the shape, how often it occurs)


def summarise(program: Program, durations_ps: npt.ArrayLike) -> Summary:
    """Summary of every scenario, equal to what the full timeline answers; durations [rows(, scenarios)]."""
    durations = program.durations(durations_ps)
    columns = durations if durations.ndim == 2 else durations[:, None]
    structure = structure_of(program)
    busy, category = _tallies(program)
    ranks = sorted({s.rank for s in program.stream_table})
    result = Summary(
        np.zeros(columns.shape[1], np.int64),
        {key: np.zeros(columns.shape[1], np.int64) for key in busy},
        {key: np.zeros(columns.shape[1], np.int64) for key in category},
        {rank: np.zeros(columns.shape[1], np.int64) for rank in ranks},
    )
    for block in blocks(columns.shape[1]):
        part = np.ascontiguousarray(columns[:, block])
        times = [shape.times(part) for shape in structure.shapes]
        elapsed = [finish - start for start, finish in times]
        for shape_times, count in zip(times, structure.counts, strict=True):
            result.makespan_ps[block] += count * shape_times[1].max(axis=0)
        _count(result.busy_ps, busy, elapsed, block)
        _count(result.category_ps, category, elapsed, block)
        _expose(result.exposed_ps, program, structure, times, block)
    return result


def _count(
    totals: Mapping[Key, Times],
    tallies: Mapping[Key, Uses],
    elapsed: list[Times],
    block: slice,
) -> None:
    for key, uses in tallies.items():
        total = totals[key][block]
        for shape, node, count in uses:
            total += count * elapsed[shape][node]


def _expose(
    totals: dict[int, Times],
    program: Program,
    structure: Structure,
    times: list[tuple[Times, Times]],
    block: slice,
) -> None:
    for rank, total in totals.items():
        for shape, (start, finish), count in zip(structure.shapes, times, structure.counts, strict=True):
            outer, inner = (_members(program, shape, rank, name) for name in ("comm", "compute"))
            if outer:
                total[block] += count * uncovered(start, finish, outer, inner)


def _members(program: Program, shape: Segment, rank: int, name: str) -> tuple[int, ...]:
    """Nodes of a segment that occupy a stream of the rank whose name starts with ``name``."""
    wanted = {i for i, s in enumerate(program.stream_table) if s.rank == rank and s.name.startswith(name)}
    return tuple(i for i, used in enumerate(shape.streams) if wanted.intersection(used))


@lru_cache(maxsize=64)
def _tallies(program: Program) -> tuple[dict[tuple[int, str], Uses], dict[str, Uses]]:
    """Uses by (rank class, stream name) and by category; cached by program identity."""
    structure = structure_of(program)
    busy: dict[tuple[int, str], Counter[tuple[int, int]]] = {(s.rank, s.name): Counter() for s in program.stream_table}
    category: dict[str, Counter[tuple[int, int]]] = {}
    for first, index in structure.sequence:
        for k in range(len(structure.shapes[index])):
            category.setdefault(program.categories[first + k], Counter())[index, k] += 1
            for s in program.streams[first + k]:
                stream = program.stream_table[s]
                busy[stream.rank, stream.name][index, k] += 1
    return _frozen(busy.items()), _frozen(category.items())


def _frozen(counters: Iterable[tuple[Key, Counter[tuple[int, int]]]]) -> dict[Key, Uses]:
    return {key: tuple((*use, count) for use, count in counter.items()) for key, counter in counters}
