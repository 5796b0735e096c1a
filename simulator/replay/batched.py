"""The batched replay: many scenarios of one program at once, equal to the reference to the picosecond.

Where no link can be shared the recurrence of recurrence.py applies; segments whose flows can meet go through event
stepping (contention.py). Either way a distinct segment is evaluated once and shifted to each
place where it occurs (structure.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from simulator.replay.program import Program, Times
from simulator.replay.structure import Structure, structure_of
from simulator.replay.timeline import Timeline

BLOCK = 4096  # scenarios per block: the working rows of a segment stay in the second-level cache


def replay(program: Program, durations_ps: npt.ArrayLike, structure: Structure | None = None) -> Timeline:
    """Start and finish of every node; durations are int ps, [rows] or [rows, scenarios]."""
    durations = program.durations(durations_ps)
    columns = durations if durations.ndim == 2 else durations[:, None]
    shape = (len(program), columns.shape[1])
    start, finish = np.empty(shape, np.int64), np.empty(shape, np.int64)
    layout = structure or structure_of(program)
    for block in blocks(columns.shape[1]):
        _fill(layout, np.ascontiguousarray(columns[:, block]), start[:, block], finish[:, block])
    if durations.ndim == 1:
        return Timeline(program, start[:, 0].copy(), finish[:, 0].copy())
    return Timeline(program, start, finish)


def makespans(program: Program, durations_ps: npt.ArrayLike, structure: Structure | None = None) -> Times:
    """Makespan of each scenario: what a sweep needs most, without storing the times of nodes."""
    durations = program.durations(durations_ps)
    columns = durations if durations.ndim == 2 else durations[:, None]
    layout = structure or structure_of(program)
    total = np.zeros(columns.shape[1], dtype=np.int64)
    for block in blocks(columns.shape[1]):
        _accumulate(layout, np.ascontiguousarray(columns[:, block]), total[block])
    return np.asarray(total[0]) if durations.ndim == 1 else total


def blocks(scenarios: int) -> Iterator[slice]:
    """Slices of at most BLOCK scenarios."""
    return (slice(first, min(first + BLOCK, scenarios)) for first in range(0, scenarios, BLOCK))


def _accumulate(structure: Structure, durations: Times, total: Times) -> None:
    """Add up the lengths of all segments; durations [rows, scenarios of the block]."""
    scaled = np.empty_like(total)
    for shape, count in zip(structure.shapes, structure.counts, strict=True):
        length = durations[shape.rows[0]] if len(shape) == 1 else shape.length(durations)
        np.add(total, length if count == 1 else np.multiply(length, count, out=scaled), out=total)


def _fill(structure: Structure, durations: Times, start: Times, finish: Times) -> None:
    """Write the times of all nodes of a block of scenarios."""
    base = np.zeros(durations.shape[1], dtype=np.int64)
    times = [None if len(s) == 1 else s.times(durations) for s in structure.shapes]
    lengths = [None if t is None else t[1].max(axis=0) for t in times]
    for first, index in structure.sequence:
        relative, length = times[index], lengths[index]
        if relative is None or length is None:
            start[first] = base
            np.add(base, durations[structure.shapes[index].rows[0]], out=finish[first])
            base = finish[first]
            continue
        end = first + len(structure.shapes[index])
        np.add(relative[0], base, out=start[first:end])
        np.add(relative[1], base, out=finish[first:end])
        base = base + length
