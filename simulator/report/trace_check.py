"""Does a trace obey the rules that viewers rely on? Returns complaints instead of trusting a viewer to show them.

Rules: numeric ts and dur; every process and thread has a name; slices of a track are in order and nest or are disjoint,
also after a viewer truncates to whole nanoseconds; flow arrows come in pairs, go forward in time and touch a slice at
both ends; counters are numeric and in order. Source: perfetto.dev/docs/faq; Trace Event Format (Google, 2016).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

Event = Mapping[str, Any]
Track = tuple[int, int]


def check_trace(document: Mapping[str, Any]) -> list[str]:
    """Everything wrong with a trace document; an empty list if it conforms."""
    events: Sequence[Event] = document.get("traceEvents", ())
    if not events:
        return ["no traceEvents"]
    broken = list(_check_fields(events))
    if broken:
        return broken
    tracks: dict[Track, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["pid"], event["tid"]].append(event)
    complaints = [*_check_names(events, tracks), *_check_flows(events, tracks), *_check_counters(events)]
    for track, slices in tracks.items():
        complaints += _check_order(track, slices)
        complaints += _check_nesting(track, slices, 1.0, "microseconds")
        complaints += _check_nesting(track, slices, 1000.0, "whole nanoseconds")
    return complaints


def _check_fields(events: Sequence[Event]) -> Iterator[str]:
    known = {"X": ("ts", "dur"), "s": ("ts", "id"), "f": ("ts", "id"), "C": ("ts",), "M": ()}
    for i, event in enumerate(events):
        phase = event.get("ph")
        if phase not in known:
            yield f"event {i}: phase {phase!r} is none of {sorted(known)}"
            continue
        for key in ("pid", "tid", *known[phase]):
            value = event.get(key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                yield f"event {i}: {key}={value!r} is not a number of at least 0"
        if not event.get("name"):
            yield f"event {i} has no name"


def _check_names(events: Sequence[Event], tracks: Mapping[Track, list[Event]]) -> Iterator[str]:
    named = {(e["name"], e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["args"].get("name")}
    processes = {pid for kind, pid, _ in named if kind == "process_name"}
    owner: dict[int, int] = {}
    for pid, tid in tracks:
        if pid not in processes:
            yield f"process {pid} has no name"
        if ("thread_name", pid, tid) not in named:
            yield f"thread {tid} of process {pid} has no name"
        if owner.setdefault(tid, pid) != pid:
            yield f"thread id {tid} is used by processes {owner[tid]} and {pid}"


def _check_order(track: Track, slices: list[Event]) -> Iterator[str]:
    for before, after in pairwise(slices):
        if after["ts"] < before["ts"]:
            yield f"track {track}: {after['name']} at {after['ts']} comes after {before['name']} at {before['ts']}"


def _check_nesting(track: Track, slices: list[Event], scale: float, unit: str) -> Iterator[str]:
    open_ends: list[tuple[float, str]] = []
    for event in sorted(slices, key=lambda e: (e["ts"], -e["dur"])):
        begin, length = event["ts"] * scale, event["dur"] * scale
        if scale != 1.0:
            begin, length = int(begin), int(length)
        while open_ends and open_ends[-1][0] <= begin:
            open_ends.pop()
        if open_ends and begin + length > open_ends[-1][0]:
            yield f"track {track}: {event['name']} overlaps {open_ends[-1][1]} (in {unit})"
        open_ends.append((begin + length, event["name"]))


def _check_flows(events: Sequence[Event], tracks: Mapping[Track, list[Event]]) -> Iterator[str]:
    ends: dict[Any, dict[str, list[Event]]] = defaultdict(lambda: {"s": [], "f": []})
    for event in events:
        if event["ph"] in "sf":
            ends[event["id"]][event["ph"]].append(event)
    for arrow, pair in ends.items():
        if len(pair["s"]) != 1 or len(pair["f"]) != 1:
            yield f"flow {arrow} has {len(pair['s'])} starts and {len(pair['f'])} ends"
            continue
        start, end = pair["s"][0], pair["f"][0]
        if end["ts"] < start["ts"]:
            yield f"flow {arrow} goes back in time"
        for event in (start, end):
            inside = tracks.get((event["pid"], event["tid"]), ())
            if not any(s["ts"] <= event["ts"] < s["ts"] + s["dur"] for s in inside):
                yield f"flow {arrow} touches no slice at {event['ts']}"


def _check_counters(events: Sequence[Event]) -> Iterator[str]:
    last: dict[tuple[int, str], float] = {}
    for event in events:
        if event["ph"] != "C":
            continue
        key = event["pid"], event["name"]
        if event["ts"] < last.get(key, 0.0):
            yield f"counter {event['name']} goes back in time at {event['ts']}"
        last[key] = event["ts"]
        if not event["args"] or not all(
            isinstance(v, int | float) and math.isfinite(v) for v in event["args"].values()
        ):
            yield f"counter {event['name']} at {event['ts']} is not numeric"
