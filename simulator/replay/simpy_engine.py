"""The reference replay: one simpy process per node, one fabric that shares links. Readable first, fast never.

The clock is an integer number of picoseconds. Within one instant everything that can happen happens first; then link
shares are settled once, so that the order of simultaneous events cannot matter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy
from simpy.events import EventPriority

from simulator.replay.program import Program, Times
from simulator.replay.timeline import Timeline

AFTER_NORMAL = EventPriority(2)  # simpy itself uses 0 (urgent) and 1 (normal)


class _EndOfInstant(simpy.Event):
    """An event processed after every normal event of the present instant."""

    def __init__(self, env: simpy.Environment) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        env.schedule(self, priority=AFTER_NORMAL)


class _Flow:
    """A transfer in flight: work left at full rate, sharers counted at the last settlement, time of that settlement."""

    def __init__(self, links: tuple[int, ...], work: int, done: simpy.Event) -> None:
        self.links, self.remaining, self.done = links, work, done
        self.sharers, self.settled_at, self.plan = 0, 0, 0


class _Fabric:
    """Fair sharing: a flow whose busiest link carries k flows runs at 1/k of its full rate."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.flows: list[_Flow] = []
        self.settling = False

    def transfer(self, links: tuple[int, ...], work: int) -> simpy.Event:
        done: simpy.Event = self.env.event()
        if work == 0:
            return done.succeed()
        self.flows.append(_Flow(links, work, done))
        self._settle_later()
        return done

    def _settle_later(self) -> None:
        if not self.settling:
            self.settling = True
            _EndOfInstant(self.env).callbacks.append(self._settle)

    def _settle(self, _: simpy.Event) -> None:
        self.settling = False
        now = int(self.env.now)
        load = Counter(link for flow in self.flows for link in flow.links)
        for flow in self.flows:
            sharers = max(load[link] for link in flow.links)
            if sharers == flow.sharers:
                continue
            if flow.sharers:
                flow.remaining -= (now - flow.settled_at) // flow.sharers
            flow.sharers, flow.settled_at, flow.plan = sharers, now, flow.plan + 1
            self._wake(flow, flow.plan)

    def _wake(self, flow: _Flow, plan: int) -> None:
        def arrive(_: simpy.Event) -> None:
            if flow.plan == plan:
                self.flows.remove(flow)
                self._settle_later()
                flow.done.succeed()

        self.env.timeout(flow.remaining * flow.sharers).callbacks.append(arrive)


def replay_simpy(program: Program, durations_ps: npt.ArrayLike) -> Timeline:
    """Timeline by discrete-event simulation; durations are int ps, [rows] or [rows, scenarios]."""
    durations = program.durations(durations_ps)
    if durations.ndim == 1:
        return Timeline(program, *_run(program, durations))
    runs = [_run(program, durations[:, s]) for s in range(durations.shape[1])]
    shape = (len(program), durations.shape[1])
    start, finish = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for s, (begin, end) in enumerate(runs):
        start[:, s], finish[:, s] = begin, end
    return Timeline(program, start, finish)


def _run(program: Program, durations: Times) -> tuple[Times, Times]:
    env = simpy.Environment(initial_time=0)
    fabric = _Fabric(env)
    done = [env.event() for _ in range(len(program))]
    turn: dict[int, simpy.Event] = {}  # end of the last node queued on each stream
    start, finish = np.zeros(len(program), np.int64), np.zeros(len(program), np.int64)

    def run_node(i: int, waits: list[simpy.Event], work: int) -> Generator[simpy.Event, Any, None]:
        if waits:
            yield env.all_of(waits)
        start[i] = env.now
        yield fabric.transfer(program.links[i], work) if program.links[i] else env.timeout(work)
        finish[i] = env.now
        done[i].succeed()

    for i, row in enumerate(program.rows):
        waits = [done[d] for d in program.deps[i]] + [turn[s] for s in program.streams[i] if s in turn]
        turn.update((s, done[i]) for s in program.streams[i])
        env.process(run_node(i, waits, int(durations[row])))
    env.run()
    return start, finish
