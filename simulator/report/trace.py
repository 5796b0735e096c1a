"""A timeline as Chrome Trace Event JSON, which Perfetto, chrome://tracing and MindStudio Insight open.

Process = rank (class), thread = stream, cat = stage of the operator. Slices of one thread never overlap: times are put
on a grid of 1/1024 microsecond, which binary floating point holds exactly, so that no viewer's rounding can make them
overlap.
Source: Trace Event Format (Google, 2016); perfetto.dev/docs/faq (slices of a track may nest, never overlap).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.replay.program import Program
from simulator.replay.timeline import Timeline

GRID_PER_MICROSECOND = 1024
PS_PER_MICROSECOND = 10**6
THREADS_PER_PROCESS = 10_000

Event = dict[str, Any]
Track = tuple[int, int]  # (pid, tid)


@dataclass(frozen=True, slots=True, eq=False)
class CounterTrack:
    """A step function drawn above the slices: ``values[i]`` holds from ``times_ps[i]`` on. rank: its rank class."""

    name: str
    unit: str
    times_ps: Sequence[int]
    values: Sequence[float]
    rank: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TraceOptions:
    """device: label of the processes. args: what to show on each node's slice (shapes, flops, bytes, bound, source).

    counters: power, memory, link load ... nodes: the only nodes to export (None = all). metadata: facts about the run.
    """

    device: str = "device"
    args: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    counters: Sequence[CounterTrack] = ()
    nodes: Collection[int] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def trace_document(timeline: Timeline, options: TraceOptions | None = None) -> dict[str, Any]:
    """The JSON document of one scenario's timeline. ValueError if the timeline holds several scenarios."""
    if timeline.start_ps.ndim != 1:
        raise ValueError("a trace shows one scenario; use timeline.scenario(index)")
    options = options or TraceOptions()
    chosen = range(len(timeline.program)) if options.nodes is None else sorted(set(options.nodes))
    slices = [s for node in chosen for s in _slices(timeline, node, options.args.get(node, {}))]
    slices.sort(key=lambda e: (e["pid"], e["tid"], e["ts"], -e["dur"]))
    events = [*_names(timeline.program, options.device), *slices, *_arrows(timeline, chosen)]
    events.extend(e for counter in options.counters for e in _counter(counter))
    return _document(events, options.metadata)


def join_traces(documents: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One document that shows several (phases of a run, devices compared): processes, threads and arrows renumbered."""
    events: list[Event] = []
    processes, arrows = 0, 0
    for document in documents:
        own: Sequence[Event] = document["traceEvents"]
        for event in own:
            moved = {**event, "pid": event["pid"] + processes}
            if event["tid"]:
                moved["tid"] = event["tid"] + processes * THREADS_PER_PROCESS
            if "id" in event:
                moved["id"] = event["id"] + arrows
            if event["name"] == "process_sort_index":
                moved["args"] = {"sort_index": event["args"]["sort_index"] + processes}
            events.append(moved)
        processes += max(e["pid"] for e in own)
        arrows += max((e["id"] for e in own if "id" in e), default=0)
    return _document(events, metadata or {})


def _document(events: list[Event], metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": dict(metadata)}


def write_trace(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document; gzipped if the name ends in .gz. The same document gives the same bytes."""
    path.write_bytes(trace_bytes(document, packed=path.suffix == ".gz"))


def trace_bytes(document: Mapping[str, Any], packed: bool = True) -> bytes:
    """The file's content; the same document gives the same bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    return gzip.compress(text, mtime=0) if packed else text


def on_grid(picoseconds: int) -> float:
    """Microseconds, rounded down to the grid."""
    return (int(picoseconds) * GRID_PER_MICROSECOND // PS_PER_MICROSECOND) / GRID_PER_MICROSECOND


def _track(program: Program, stream: int) -> Track:
    """Process and thread of a stream. Thread ids are unique over processes and never 0, as Perfetto expects."""
    pid = program.stream_table[stream].rank + 1
    return pid, pid * THREADS_PER_PROCESS + stream + 1


def _names(program: Program, device: str) -> Iterator[Event]:
    for rank in sorted({s.rank for s in program.stream_table}):
        copies = program.multiplicity[rank] if rank < len(program.multiplicity) else 1
        label = f"{device} rank {rank}" + (f" (stands for {copies} equal ranks)" if copies > 1 else "")
        yield _meta("process_name", (rank + 1, 0), name=label)
        yield _meta("process_sort_index", (rank + 1, 0), sort_index=rank)
    for index, stream in enumerate(program.stream_table):
        yield _meta("thread_name", _track(program, index), name=stream.name)
        yield _meta("thread_sort_index", _track(program, index), sort_index=index)


def _meta(kind: str, track: Track, **args: Any) -> Event:
    return {"name": kind, "ph": "M", "pid": track[0], "tid": track[1], "args": args}


def _slices(timeline: Timeline, node: int, args: Mapping[str, Any]) -> Iterator[Event]:
    program = timeline.program
    begin, end = on_grid(timeline.start_ps[node]), on_grid(timeline.finish_ps[node])
    exact = {"node": node, "start_ps": int(timeline.start_ps[node]), "finish_ps": int(timeline.finish_ps[node])}
    links = {"links": [program.link_names[x] for x in program.links[node]]} if program.links[node] else {}
    for stream in program.streams[node]:
        pid, tid = _track(program, stream)
        head = {"name": program.names[node], "cat": program.categories[node] or "op", "ph": "X", "pid": pid, "tid": tid}
        yield {**head, "ts": begin, "dur": end - begin, "args": {**args, **links, **exact}}


def _arrows(timeline: Timeline, chosen: Collection[int]) -> Iterator[Event]:
    """Flow arrows from producer to consumer wherever data crosses streams; both ends lie inside their slices."""
    program = timeline.program
    shown = {n for n in chosen if on_grid(timeline.start_ps[n]) < on_grid(timeline.finish_ps[n])}
    arrow = 0
    for node in chosen:
        for source in program.deps[node]:
            if not {node, source} <= shown or set(program.streams[node]) & set(program.streams[source]):
                continue
            arrow += 1
            tail, head = _ends(program, source, node)
            common = {"name": "data", "cat": "flow", "id": arrow}
            leave = on_grid(timeline.finish_ps[source]) - 1 / GRID_PER_MICROSECOND
            yield {**common, "ph": "s", "pid": tail[0], "tid": tail[1], "ts": leave}
            arrive = on_grid(timeline.start_ps[node])
            yield {**common, "ph": "f", "bp": "e", "pid": head[0], "tid": head[1], "ts": arrive}


def _ends(program: Program, source: int, node: int) -> tuple[Track, Track]:
    """Tracks of an arrow, on the same rank if both nodes have one there."""
    pairs = [(a, b) for a in program.streams[source] for b in program.streams[node]]
    same = [(a, b) for a, b in pairs if program.stream_table[a].rank == program.stream_table[b].rank]
    tail, head = (same or pairs)[0]
    return _track(program, tail), _track(program, head)


def _counter(counter: CounterTrack) -> Iterator[Event]:
    pid = counter.rank + 1
    for when, value in zip(counter.times_ps, counter.values, strict=True):
        args = {counter.unit: float(value)}
        yield {"name": counter.name, "ph": "C", "pid": pid, "tid": 0, "ts": on_grid(when), "args": args}
