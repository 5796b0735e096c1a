"""From an operator graph and a time per template to a program and its integer durations.

Equal ranks fold into one class with a multiplicity. Where ranks differ (expert imbalance) the caller names the classes
and gives the times of the templates that differ as [classes, scenarios]; collectives then hold every class together.
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
    The program is cached per graph, so a sweep builds it once. ValueError if a template has no time or shapes disagree.
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
    layout = _layout(graph, routes, multiplicity, split)
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


@lru_cache(maxsize=32)
def _layout(graph: Graph, routes: Routes, multiplicity: tuple[int, ...], split: frozenset[int]) -> _Layout:
    builder = _Builder(dict(routes), len(multiplicity), split)
    for node in graph.nodes:
        builder.add(node)
    return _Layout(builder.program(multiplicity), tuple(builder.sources))


class _Builder:
    """Collects the columns of a program while walking the graph once."""

    def __init__(self, routes: dict[int, tuple[str, ...]], ranks: int, split: frozenset[int]) -> None:
        self.routes, self.ranks, self.split = routes, ranks, split
        self.producer: dict[tuple[int, int], int] = {}  # (value, rank class) -> program node
        self.streams: dict[Stream, int] = {}
        self.links: dict[str, int] = {}
        self.sources: dict[tuple[int, int], int] = {}
        self.nodes: list[tuple[Node, tuple[int, ...], tuple[int, ...], tuple[int, ...], int]] = []

    def add(self, node: Node) -> None:
        """One program node per rank class, or one over all classes for a collective."""
        everyone = tuple(range(self.ranks))
        if isinstance(node.op, CollectiveOp):
            self._add(node, everyone, -1)
            return
        for rank in everyone:
            self._add(node, (rank,), rank if node.template in self.split else -1)

    def _add(self, node: Node, ranks: tuple[int, ...], source: int) -> None:
        waits = {self.producer[v, r] for v in node.inputs for r in ranks if (v, r) in self.producer}
        streams = tuple(self.streams.setdefault(Stream(r, node.stream), len(self.streams)) for r in ranks)
        links = tuple(self.links.setdefault(name, len(self.links)) for name in self.routes.get(node.template, ()))
        row = self.sources.setdefault((node.template, source), len(self.sources))
        self.producer.update(((v, r), len(self.nodes)) for v in node.outputs for r in ranks)
        self.nodes.append((node, tuple(sorted(waits)), streams, links, row))

    def program(self, multiplicity: tuple[int, ...]) -> Program:
        """The frozen program."""
        return Program(
            names=tuple(node.name for node, *_ in self.nodes),
            categories=tuple(node.stage or node.op.family for node, *_ in self.nodes),
            deps=tuple(waits for _, waits, *_ in self.nodes),
            streams=tuple(streams for *_, streams, _, _ in self.nodes),
            links=tuple(links for *_, links, _ in self.nodes),
            rows=tuple(row for *_, row in self.nodes),
            stream_table=tuple(self.streams),
            link_names=tuple(self.links),
            multiplicity=multiplicity,
            origin=tuple(node.id for node, *_ in self.nodes),
        )
