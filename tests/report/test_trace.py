"""Trace files obey the viewers' rules, whatever the timeline."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.replay.batched import replay
from simulator.replay.program import Program, Stream
from simulator.report.counters import link_track, rate_track
from simulator.report.trace import TraceOptions, join_traces, on_grid, trace_document, write_trace
from simulator.report.trace_check import check_trace


def program() -> Program:
    """Two rank classes that meet in an exchange over one link."""
    return Program(
        names=("attention", "attention", "dispatch", "shared", "experts", "experts"),
        categories=("attention", "attention", "dispatch", "shared", "experts", "experts"),
        deps=((), (), (0, 1), (0,), (2, 3), (2,)),
        streams=((0,), (1,), (2, 3), (0,), (0,), (1,)),
        links=((), (), (0,), (), (), ()),
        rows=(0, 1, 2, 3, 4, 5),
        stream_table=(Stream(0, "compute"), Stream(1, "compute"), Stream(0, "comm"), Stream(1, "comm")),
        link_names=("nvlink",),
        multiplicity=(31, 1),
    )


DURATIONS = np.array([1_234_567, 2_000_001, 333_333, 777_777, 5_432_101, 999])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 3_000_000), min_size=6, max_size=6))
def test_every_trace_conforms(durations: list[int]) -> None:
    timeline = replay(program(), np.array(durations))
    counters = [
        link_track(timeline, 0),
        rate_track(timeline, {0: 3.35e6, 4: 1e6}, "HBM", "GB/s", scale=1e-9),
        rate_track(timeline, {1: 1e-3}, "power", "W", idle=80.0, rank=1),
    ]
    assert check_trace(trace_document(timeline, TraceOptions("h800", counters=counters))) == []


def test_slices_carry_labels_arguments_and_exact_times() -> None:
    timeline = replay(program(), DURATIONS)
    options = TraceOptions("h800", {4: {"flops": 8.8e7, "bound": "hbm", "source": "derived"}})
    events = trace_document(timeline, options)["traceEvents"]
    experts = next(e for e in events if e["ph"] == "X" and e["args"]["node"] == 4)
    assert experts["cat"] == "experts"
    assert experts["args"]["bound"] == "hbm"
    assert experts["args"]["finish_ps"] - experts["args"]["start_ps"] == 5_432_101
    assert experts["dur"] == pytest.approx(5.432101, abs=2e-3)
    dispatch = [e for e in events if e["ph"] == "X" and e["name"] == "dispatch"]
    assert {e["pid"] for e in dispatch} == {1, 2}
    assert dispatch[0]["args"]["links"] == ["nvlink"]
    labels = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert labels == ["h800 rank 0 (stands for 31 equal ranks)", "h800 rank 1"]


def test_arrows_join_streams_and_not_neighbours_of_one_stream() -> None:
    events = trace_document(replay(program(), DURATIONS))["traceEvents"]
    arrows = [e for e in events if e["ph"] == "s"]
    crossing = [(s, n) for n, deps in enumerate(program().deps) for s in deps if (s, n) not in {(0, 3), (3, 4)}]
    assert len(arrows) == len(crossing)


def test_a_trace_can_be_cut_to_chosen_nodes() -> None:
    document = trace_document(replay(program(), DURATIONS), TraceOptions(nodes={2, 4}))
    slices = [e for e in document["traceEvents"] if e["ph"] == "X"]
    assert {e["args"]["node"] for e in slices} == {2, 4}
    assert check_trace(document) == []


def test_rates_integrate_to_their_amounts() -> None:
    timeline = replay(program(), DURATIONS)
    track = rate_track(timeline, {0: 3e6, 3: 1e6, 4: 2e6}, "HBM", "B/s")
    area = np.sum(np.diff(track.times_ps) * np.array(track.values[:-1])) / 1e12
    assert area == pytest.approx(6e6, rel=1e-6)
    assert track.values[-1] == 0.0


def test_joined_traces_keep_processes_threads_and_arrows_apart() -> None:
    one = trace_document(replay(program(), DURATIONS), TraceOptions("prefill"))
    two = trace_document(replay(program(), 2 * DURATIONS), TraceOptions("decode"))
    joined = join_traces([one, two], {"scenario": "x"})
    assert check_trace(joined) == []
    assert joined["otherData"] == {"scenario": "x"}
    assert len(joined["traceEvents"]) == len(one["traceEvents"]) + len(two["traceEvents"])
    labels = [e["args"]["name"] for e in joined["traceEvents"] if e["name"] == "process_name"]
    assert [label.split()[0] for label in labels] == ["prefill", "prefill", "decode", "decode"]


def test_files_are_deterministic(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_trace(tmp_path / f"{name}.json.gz", trace_document(replay(program(), DURATIONS)))
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert check_trace(json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))) == []
    write_trace(tmp_path / "plain.json", trace_document(replay(program(), DURATIONS)))
    assert (tmp_path / "plain.json").read_bytes().startswith(b'{"traceEvents"')


def test_the_grid_is_exact_in_binary() -> None:
    for ps in (0, 1, 976, 977, 123_456_789_012):
        assert (on_grid(ps) * 1024).is_integer()
        assert 0 <= ps - on_grid(ps) * 1e6 < 1e6 / 1024


def test_several_scenarios_are_refused() -> None:
    timeline = replay(program(), np.stack([DURATIONS, DURATIONS], axis=1))
    with pytest.raises(ValueError, match="one scenario"):
        trace_document(timeline)


def spoil(kind: str) -> dict[str, object]:
    document = copy.deepcopy(trace_document(replay(program(), DURATIONS)))
    events = document["traceEvents"]
    slices = [e for e in events if e["ph"] == "X"]
    if kind == "overlaps":
        next(e for e in slices if e["args"]["node"] == 0)["dur"] += 0.5
    elif kind == "comes after":
        events.append({**slices[0], "ts": 0.0, "dur": 0.0})
        events.append({**slices[-1], "ts": 0.0, "dur": 0.0})
    elif kind == "not a number":
        slices[0]["ts"] = "1.0"
    elif kind == "starts and":
        events.remove(next(e for e in events if e["ph"] == "f"))
    elif kind == "back in time":
        next(e for e in events if e["ph"] == "f")["ts"] = 0.0
    elif kind == "touches no slice":
        next(e for e in events if e["ph"] == "f")["ts"] = 1e6
    elif kind == "has no name":
        events.remove(next(e for e in events if e["name"] == "thread_name"))
    elif kind == "not numeric":
        events.append({"name": "power", "ph": "C", "pid": 1, "tid": 0, "ts": 0.0, "args": {"W": "much"}})
    elif kind == "phase":
        events.append({"name": "x", "ph": "Q", "pid": 1, "tid": 1})
    return document


@pytest.mark.parametrize(
    "kind",
    ["overlaps", "comes after", "not a number", "starts and", "back in time", "touches no slice", "has no name",
     "not numeric", "phase"],
)  # fmt: skip
def test_the_checker_sees_each_fault(kind: str) -> None:
    assert any(kind in complaint for complaint in check_trace(spoil(kind)))


def test_an_empty_document_is_a_fault() -> None:
    assert check_trace({}) == ["no traceEvents"]
