"""From an operator graph and a time per template to a program and its integer durations.

Equal ranks fold into one class with a multiplicity. Where ranks differ (expert imbalance) the caller names the classes
and gives the times of the templates that differ as [classes, scenarios]; collectives then hold every class together.
Every pipeline stage has its own ranks: rank class c of stage s is rank s * classes + c of the program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulator.models.graph import Graph, Node
from simulator.ops.op import CollectiveOp
from simulator.replay.program import Program, Stream, Times, picoseconds

Routes = tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """A program and where its durations come from: (template, rank class or -1 if common) of each row."""

    program: Program
    sources: tuple[tuple[int, int], ...]


def program_of(
    graph: Graph,
    seconds_by_template: Mapping[int, npt.ArrayLike],
    links_by_template: Mapping[int, Sequence[str]] | None = None,
    multiplicity: tuple[int, ...] = (1,),
) -> tuple[Program, Times]:
    """Program of a graph and its durations, int ps [rows] or [rows, scenarios].

    seconds_by_template: a scalar or [scenarios] for all ranks, or [rank classes, scenarios] where ranks differ.
    links_by_template: names of the links on the route of a template's transfer. multiplicity: ranks in each class.
    Nodes that never take time (views) are left out. The program is cached per graph, so a sweep builds it once.
    ValueError if a template has no time or shapes disagree.
    """
    links = links_by_template or {}
    times = {t: picoseconds(seconds) for t, seconds in seconds_by_template.items()}
    split = frozenset(t for t, array in times.items() if array.ndim == 2)
    missing = {node.template for node in graph.nodes} - times.keys()
    if missing:
        raise ValueError(f"no time for templates {sorted(missing)}")
    for t in split:
        if len(times[t]) != len(multiplicity):
            raise ValueError(
                f"template {t}: times have shape {times[t].shape}, not [{len(multiplicity)} rank classes, ...]"
            )
    routes: Routes = tuple(sorted((t, tuple(route)) for t, route in links.items() if route))
    free = frozenset(t for t, array in times.items() if not array.any())
    layout = _layout(graph, routes, multiplicity, split, free)
    return layout.program, _durations(layout.sources, times)


def fold_ranks(seconds: npt.ArrayLike) -> tuple[tuple[int, ...], npt.NDArray[np.intp]]:
    """Classes of ranks with equal times, in order of their first rank; seconds is [ranks, anything].

    Returns the ranks in each class and the first rank of each class.
    """
    table = np.asarray(seconds, dtype=np.float64)
    _, first, counts = np.unique(table.reshape(len(table), -1), axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    return tuple(int(c) for c in counts[order]), first[order]


def _durations(sources: tuple[tuple[int, int], ...], times: Mapping[int, Times]) -> Times:
    arrays = [times[t] if rank < 0 else times[t][rank] for t, rank in sources]
    arrays = [a.max(axis=0) if a.ndim == 2 else a for a in arrays]  # a collective lasts as long as on its slowest rank
    if not arrays:
        return np.zeros(0, dtype=np.int64)
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        raise ValueError(f"templates disagree on scenarios: {sorted({a.shape for a in arrays})}") from None
    out = np.empty((len(arrays), *shape), dtype=np.int64)
    for row, array in enumerate(arrays):
        out[row] = array
    return out


@lru_cache(maxsize=64)
def _layout(
    graph: Graph, routes: Routes, multiplicity: tuple[int, ...], split: frozenset[int], free: frozenset[int]
) -> _Layout:
    builder = _Builder(dict(routes), len(multiplicity), split, free)
    for node in graph.nodes:
        builder.add(node)
    builder.check(graph)
    stages = 1 + max((node.pipeline for node in graph.nodes), default=0)
    return _Layout(builder.program(multiplicity * stages), tuple(builder.sources))


class _Builder:
    """Collects the columns of a program while walking the graph once."""

    def __init__(
        self, routes: dict[int, tuple[str, ...]], ranks: int, split: frozenset[int], free: frozenset[int]
    ) -> None:
        self.routes, self.split, self.free = routes, split, free
        self.everyone = tuple(range(ranks))
        # by rank class: value -> program nodes that must be done before it can be used
        self.producer: list[dict[int, tuple[int, ...]]] = [{} for _ in self.everyone]
        self.streams: dict[tuple[tuple[int, ...], int, str], tuple[int, ...]] = {}
        self.table: dict[Stream, int] = {}
        self.links: dict[str, int] = {}
        self.sources: dict[tuple[int, int], int] = {}
        self.nodes: list[Node] = []
        self.deps: list[tuple[int, ...]] = []
        self.occupies: list[tuple[int, ...]] = []
        self.routed: list[tuple[int, ...]] = []
        self.rows: list[int] = []

    def add(self, node: Node) -> None:
        """One program node per rank class, one over all classes for a collective, none for what takes no time."""
        if node.template in self.free:
            for made in self.producer:
                before = self._waits(node, made)
                made.update((v, before) for v in node.outputs)
            return
        if len(self.everyone) == 1 or isinstance(node.op, CollectiveOp):
            self._add(node, self.everyone, -1)
            return
        for rank in self.everyone:
            self._add(node, (rank,), rank if node.template in self.split else -1)

    def check(self, graph: Graph) -> None:
        """ValueError if a node came before the node that makes its input: its wait would be lost."""
        made = self.producer[0]
        ready = set(graph.inputs)
        for node in graph.nodes:
            late = [i for i in node.inputs if i in made and i not in ready]
            if late:
                names = ", ".join(graph.values[i].name for i in late)
                raise ValueError(f"node {node.id} ({node.name}) uses {names} before it is made")
            ready.update(node.outputs)

    def _add(self, node: Node, ranks: tuple[int, ...], source: int) -> None:
        index = len(self.nodes)
        waits: tuple[int, ...] = ()
        for rank in ranks:
            made = self.producer[rank]
            waits += self._waits(node, made)
            for v in node.outputs:
                made[v] = (index,)
        self.nodes.append(node)
        self.deps.append(waits if len(ranks) == 1 else tuple(sorted(set(waits))))
        self.occupies.append(self._queues(ranks, node))
        self.routed.append(self._route(node.template) if node.template in self.routes else ())
        self.rows.append(self.sources.setdefault((node.template, source), len(self.sources)))

    def _waits(self, node: Node, made: dict[int, tuple[int, ...]]) -> tuple[int, ...]:
        before = {i for v in node.inputs if v in made for i in made[v]}
        return tuple(sorted(before))

    def _queues(self, ranks: tuple[int, ...], node: Node) -> tuple[int, ...]:
        key = ranks, node.pipeline, node.stream
        if key not in self.streams:
            first = node.pipeline * len(self.everyone)
            names = [Stream(first + r, node.stream) for r in ranks]
            self.streams[key] = tuple(self.table.setdefault(s, len(self.table)) for s in names)
        return self.streams[key]

    def _route(self, template: int) -> tuple[int, ...]:
        return tuple(self.links.setdefault(name, len(self.links)) for name in self.routes[template])

    def program(self, multiplicity: tuple[int, ...]) -> Program:
        """The frozen program."""
        return Program(
            names=tuple([node.name for node in self.nodes]),
            categories=tuple([node.stage or node.op.family for node in self.nodes]),
            deps=tuple(self.deps),
            streams=tuple(self.occupies),
            links=tuple(self.routed),
            rows=tuple(self.rows),
            stream_table=tuple(self.table),
            link_names=tuple(self.links),
            multiplicity=multiplicity,
            origin=tuple([node.id for node in self.nodes]),
        )
