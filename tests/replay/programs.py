"""Programs for the tests of the replay room: random ones and a layered two-micro-batch step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from simulator.replay.program import Program, Stream, Times


@dataclass(frozen=True)
class Case:
    program: Program
    durations: Times


@st.composite
def cases(draw: st.DrawFn, most_nodes: int = 25) -> Case:
    """A random program (1-6 streams, 0-3 links) with durations of 1-3 scenarios, small enough to make many ties."""
    n = draw(st.integers(1, most_nodes))
    streams = draw(st.integers(1, 6))
    links = draw(st.integers(0, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    rows = draw(st.integers(1, n))
    program = Program(
        names=tuple(f"node{i}" for i in range(n)),
        categories=tuple(rng.choice(["gemm", "attention", "exchange"], n).tolist()),
        deps=tuple(subset(rng, i, [0, 0, 1, 1, 2, 3]) for i in range(n)),
        streams=tuple(subset(rng, streams, [1, 1, 1, 2, streams]) for _ in range(n)),
        links=tuple(subset(rng, links, [0, 0, 1, 2]) for _ in range(n)),
        rows=tuple(rng.integers(0, rows, n).tolist()),
        stream_table=tuple(Stream(i // 2, ("compute", "comm")[i % 2]) for i in range(streams)),
        link_names=tuple(f"link{i}" for i in range(links)),
        multiplicity=(1,) * ((streams + 1) // 2),
    )
    longest = draw(st.sampled_from([1, 2, 5, 1000, 10**12]))
    scenarios = draw(st.integers(1, 3))
    return Case(program, rng.integers(0, longest + 1, (rows, scenarios)))


def subset(rng: np.random.Generator, size: int, counts: list[int]) -> tuple[int, ...]:
    """Some distinct numbers below ``size``, sorted."""
    k = min(size, int(rng.choice(counts)))
    return tuple(sorted(rng.choice(size, k, replace=False).tolist()))


def layered(layers: int, links: bool = False) -> Program:
    """Two micro-batches whose expert exchange runs beside the attention of the other; layers share rows."""
    deps: list[tuple[int, ...]] = []
    streams: list[tuple[int, ...]] = []
    rows: list[int] = []

    def add(stream: int, row: int, *waits: int) -> int:
        deps.append(tuple(sorted(w for w in waits if w >= 0)))
        streams.append((stream,))
        rows.append(row)
        return len(deps) - 1

    ready = [-1, -1]
    for _ in range(layers):
        for a, b in ((0, 1), (1, 0)):
            dispatch = add(1, 0, ready[a])
            attention = add(0, 1, ready[b])
            expert = add(0, 2, dispatch)
            combine = add(1, 3, expert)
            ready[b] = add(0, 4, attention)
            ready[a] = add(0, 5, combine)
    n = len(deps)
    routes = tuple((0,) if links and s == (1,) else () for s in streams)
    table = (Stream(0, "compute"), Stream(0, "comm"))
    names, categories = tuple(f"n{i}" for i in range(n)), tuple(f"k{r}" for r in rows)
    link_names = ("fabric",) if links else ()
    return Program(names, categories, tuple(deps), tuple(streams), routes, tuple(rows), table, link_names)
