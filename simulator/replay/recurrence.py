"""finish[i] = max(finish of what i waits for) + duration[i], for many scenarios, with few buffers.

A plan names for every node a register (one row of working memory, an entry per scenario). A register is given back once
nobody waits for it any more, so that thousands of nodes need a handful of rows and stay in cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.replay.program import Times


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: (target register, source registers, duration row) by node. ends: registers of nodes nobody waits for."""

    registers: int
    steps: tuple[tuple[int, tuple[int, ...], int], ...]
    ends: tuple[int, ...]


def plan_of(rows: Sequence[int], waits: Sequence[tuple[int, ...]]) -> Plan:
    """Allocate registers: a node takes over the register of a predecessor it is the last to wait for."""
    last_use = {p: i for i, before in enumerate(waits) for p in before}
    register: dict[int, int] = {}
    free: list[int] = []
    count = 0
    steps = []
    for i, before in enumerate(waits):
        done = [p for p in before if last_use[p] == i]
        if done:
            target = register[done[0]]
            free.extend(register[p] for p in done[1:])
            before = (done[0], *(p for p in before if p != done[0]))
        elif free:
            target = free.pop()
        else:
            target = count
            count += 1
        steps.append((target, tuple(register[p] for p in before), rows[i]))
        register[i] = target
    ends = tuple(register[i] for i in range(len(waits)) if i not in last_use)
    return Plan(count, tuple(steps), ends)


def plan_length(plan: Plan, durations: Times) -> Times:
    """Latest finish of a plan that begins at 0; durations [rows, scenarios]."""
    work = np.empty((plan.registers, durations.shape[1]), dtype=np.int64)
    lines, times = list(work), list(durations)
    add, latest = np.add, np.maximum
    for target, sources, row in plan.steps:
        out = lines[target]
        if not sources:
            out[:] = times[row]
            continue
        first = lines[sources[0]]
        for other in sources[1:]:
            first = latest(first, lines[other], out=out)
        add(first, times[row], out=out)
    result = lines[plan.ends[0]]
    for end in plan.ends[1:]:
        latest(result, lines[end], out=result)
    return result


def node_times(rows: Sequence[int], waits: Sequence[tuple[int, ...]], durations: Times) -> tuple[Times, Times]:
    """Start and finish of every node; durations [rows, scenarios]."""
    shape = (len(rows), durations.shape[1])
    start, finish = np.zeros(shape, np.int64), np.empty(shape, np.int64)
    for i, (before, row) in enumerate(zip(waits, rows, strict=True)):
        for p in before:
            np.maximum(start[i], finish[p], out=start[i])
        np.add(start[i], durations[row], out=finish[i])
    return start, finish
