"""Questions asked of a timeline, and the sweep summary that must give the same answers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from simulator.replay.batched import replay
from simulator.replay.program import Program, Stream, picoseconds
from simulator.replay.summary import summarise

from .programs import Case, cases


def overlapped() -> Program:
    """compute: 0-10, 10-30; comm: 10-25, 30-35 (waits for node 1), copy idle."""
    return Program(
        names=("a", "b", "send", "reduce"),
        categories=("gemm", "gemm", "dispatch", "combine"),
        deps=((), (), (0,), (1, 2)),
        streams=((0,), (0,), (1,), (1,)),
        links=((),) * 4,
        rows=(0, 1, 2, 3),
        stream_table=(Stream(0, "compute"), Stream(0, "comm"), Stream(0, "copy")),
    )


def test_busy_exposed_and_critical_path_of_a_small_step() -> None:
    timeline = replay(overlapped(), np.array([10, 20, 15, 5]))
    assert timeline.start_ps.tolist() == [0, 10, 10, 30]
    assert timeline.makespan_ps() == 35
    assert timeline.busy_by_stream() == {(0, "compute"): 30, (0, "comm"): 20, (0, "copy"): 0}
    assert timeline.busy_by_category() == {"gemm": 30, "dispatch": 15, "combine": 5}
    assert timeline.exposed_ps() == 5
    assert timeline.critical_path() == (0, 1, 3)


def test_communication_that_outlasts_compute_is_exposed() -> None:
    timeline = replay(overlapped(), np.array([10, 20, 28, 5]))
    assert timeline.exposed_ps() == (38 - 30) + 5
    assert timeline.critical_path() == (0, 2, 3)


@settings(max_examples=150, deadline=None)
@given(cases())
def test_summary_equals_the_full_timeline(case: Case) -> None:
    summary, timeline = summarise(case.program, case.durations), replay(case.program, case.durations)
    np.testing.assert_array_equal(summary.makespan_ps, timeline.makespan_ps())
    for key, busy in timeline.busy_by_stream().items():
        np.testing.assert_array_equal(summary.busy_ps[key], busy)
    for category, total in timeline.busy_by_category().items():
        np.testing.assert_array_equal(summary.category_ps[category], total)
    for rank, exposed in summary.exposed_ps.items():
        np.testing.assert_array_equal(exposed, timeline.exposed_ps(rank))


@settings(max_examples=100, deadline=None)
@given(cases())
def test_critical_path_is_gapless_and_ends_last(case: Case) -> None:
    timeline = replay(case.program, case.durations).scenario(0)
    path = timeline.critical_path()
    assert timeline.start_ps[path[0]] == 0
    assert timeline.finish_ps[path[-1]] == timeline.makespan_ps()
    for before, after in pairwise(path):
        assert timeline.finish_ps[before] == timeline.start_ps[after]


@settings(max_examples=100, deadline=None)
@given(cases())
def test_exposed_communication_is_bounded(case: Case) -> None:
    timeline = replay(case.program, case.durations)
    for rank in {s.rank for s in case.program.stream_table}:
        exposed = timeline.exposed_ps(rank)
        busy = timeline.busy_by_stream()
        assert np.all(exposed >= 0)
        assert np.all(exposed <= busy.get((rank, "comm"), 0))
        assert np.all(exposed + busy[rank, "compute"] <= timeline.makespan_ps())


def test_critical_path_wants_one_scenario() -> None:
    timeline = replay(overlapped(), np.ones((4, 2), dtype=np.int64))
    with pytest.raises(ValueError, match="one scenario"):
        timeline.critical_path()
    assert timeline.scenario(1).critical_path()


def test_programs_and_durations_are_checked() -> None:
    program = overlapped()
    with pytest.raises(ValueError, match="need 4 rows"):
        replay(program, np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="integer picoseconds"):
        replay(program, np.array([1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(ValueError, match="negative"):
        replay(program, np.array([1, 2, 3, -4]))
    with pytest.raises(ValueError, match="topological"):
        Program(("a",), ("c",), ((0,),), ((0,),), ((),), (0,), (Stream(0, "compute"),))
    with pytest.raises(ValueError, match="stream ids"):
        Program(("a",), ("c",), ((),), ((3,),), ((),), (0,), (Stream(0, "compute"),))


def test_seconds_round_to_the_nearest_picosecond() -> None:
    assert picoseconds([1e-6, 1.4e-12, 1.6e-12]).tolist() == [10**6, 1, 2]
    with pytest.raises(ValueError, match="finite"):
        picoseconds(float("nan"))
    with pytest.raises(ValueError, match="negative"):
        picoseconds(-1.0)
