"""Counter tracks of a trace, derived from a timeline: rates (memory traffic, power) and flows per link."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from simulator.replay.program import PS_PER_SECOND
from simulator.replay.timeline import Timeline
from simulator.report.trace import CounterTrack


def rate_track(
    timeline: Timeline,
    amounts: Mapping[int, float],
    name: str,
    unit: str,
    scale: float = 1.0,
    idle: float = 0.0,
    rank: int = 0,
) -> CounterTrack:
    """Each node spreads its amount evenly over its duration: bytes give bandwidth, joules give power.

    amounts: by node, SI units. scale: shown units per SI unit (1e-9 for GB/s). idle: added always (idle power).
    """
    mine = _on_rank(timeline, rank)
    elapsed = timeline.elapsed_ps()

    def rate(node: int) -> float:
        return scale * amounts.get(node, 0.0) * PS_PER_SECOND / float(elapsed[node])

    times, values = _steps(timeline, [n for n in mine if elapsed[n] > 0 and n in amounts], rate)
    return CounterTrack(name, unit, times, [idle + v for v in values], rank)


def link_track(timeline: Timeline, link: int) -> CounterTrack:
    """Flows on a link at each time."""
    program = timeline.program
    users = [n for n, used in enumerate(program.links) if link in used and timeline.elapsed_ps()[n] > 0]
    times, values = _steps(timeline, users, lambda _: 1.0)
    return CounterTrack(f"link {program.link_names[link]}", "flows", times, values)


def _on_rank(timeline: Timeline, rank: int) -> list[int]:
    mine = {i for i, s in enumerate(timeline.program.stream_table) if s.rank == rank}
    return [n for n, used in enumerate(timeline.program.streams) if mine.intersection(used)]


def _steps(timeline: Timeline, nodes: list[int], height: Callable[[int], float]) -> tuple[list[int], list[float]]:
    """Sum over running nodes at every instant it changes, starting at 0 and ending in 0."""
    heights = np.array([height(n) for n in nodes])
    instants = np.concatenate([[0], timeline.start_ps[nodes], timeline.finish_ps[nodes]]).astype(np.int64)
    change = np.concatenate([[0.0], heights, -heights])
    running = np.concatenate([[0], np.ones(len(nodes), np.int64), -np.ones(len(nodes), np.int64)])
    times, inverse = np.unique(instants, return_inverse=True)
    level = np.cumsum(np.bincount(inverse, change, len(times)))
    active = np.cumsum(np.bincount(inverse, running, len(times)))
    level[active < 0.5] = 0.0  # the float sum may leave a residue where nothing runs
    return [int(t) for t in times], [float(f"{v:.9g}") for v in level]
