"""The batched replay equals the simpy reference to the picosecond, and both obey the stated semantics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from simulator.replay.batched import BLOCK, makespans, replay
from simulator.replay.program import Program, Stream
from simulator.replay.simpy_engine import replay_simpy
from simulator.replay.structure import structure_of, uncut_structure_of

from .programs import Case, cases, layered


def flows(*works: int, routes: tuple[tuple[int, ...], ...], streams: tuple[tuple[int, ...], ...]) -> Program:
    n = len(works)
    return Program(
        names=("flow",) * n,
        categories=("comm",) * n,
        deps=((),) * n,
        streams=streams,
        links=routes,
        rows=tuple(range(n)),
        stream_table=tuple(Stream(i, "comm") for i in range(n)),
        link_names=("a", "b"),
        multiplicity=(1,) * n,
    )


@settings(max_examples=300, deadline=None)
@given(cases())
def test_batched_replay_equals_simpy(case: Case) -> None:
    expected = replay_simpy(case.program, case.durations)
    for structure in (structure_of(case.program), uncut_structure_of(case.program)):
        found = replay(case.program, case.durations, structure)
        np.testing.assert_array_equal(found.start_ps, expected.start_ps)
        np.testing.assert_array_equal(found.finish_ps, expected.finish_ps)
        np.testing.assert_array_equal(
            makespans(case.program, case.durations, structure), expected.finish_ps.max(axis=0)
        )


@settings(max_examples=100, deadline=None)
@given(cases())
def test_nodes_wait_for_inputs_and_streams_run_in_order(case: Case) -> None:
    timeline = replay(case.program, case.durations)
    for node, before in enumerate(case.program.predecessors()):
        latest = np.zeros(case.durations.shape[1], dtype=np.int64)
        for p in before:
            latest = np.maximum(latest, timeline.finish_ps[p])
        np.testing.assert_array_equal(timeline.start_ps[node], latest)
        if not case.program.links[node]:
            np.testing.assert_array_equal(timeline.elapsed_ps()[node], case.durations[case.program.rows[node]])
        else:
            assert np.all(timeline.elapsed_ps()[node] >= case.durations[case.program.rows[node]])


@settings(max_examples=60, deadline=None)
@given(cases())
def test_replay_is_deterministic(case: Case) -> None:
    first, second = replay(case.program, case.durations), replay(case.program, case.durations)
    assert first.start_ps.tobytes() == second.start_ps.tobytes()
    assert first.finish_ps.tobytes() == second.finish_ps.tobytes()


@pytest.mark.parametrize("links", [False, True])
def test_overlapped_layers_equal_simpy(links: bool) -> None:
    program = layered(20, links)
    durations = np.random.default_rng(3).integers(0, 10**9, (program.row_count, 7))
    expected, found = replay_simpy(program, durations), replay(program, durations)
    np.testing.assert_array_equal(found.start_ps, expected.start_ps)
    np.testing.assert_array_equal(found.finish_ps, expected.finish_ps)


def test_repeated_layers_are_evaluated_once() -> None:
    few, many = structure_of(layered(5)), structure_of(layered(50))
    assert len(many.shapes) == len(few.shapes)
    assert sum(len(s) * c for s, c in zip(many.shapes, many.counts, strict=True)) == len(layered(50))


def test_scenarios_beyond_one_block_are_independent() -> None:
    program = layered(3)
    durations = np.random.default_rng(0).integers(0, 1000, (program.row_count, BLOCK + 5))
    spans = makespans(program, durations)
    for column in (0, BLOCK - 1, BLOCK, BLOCK + 4):
        assert spans[column] == makespans(program, durations[:, column])
    np.testing.assert_array_equal(replay(program, durations).makespan_ps(), spans)


@pytest.mark.parametrize("engine", [replay, replay_simpy])
def test_two_flows_on_one_link_take_twice_as_long(engine) -> None:  # type: ignore[no-untyped-def]
    program = flows(100, 100, routes=((0,), (0,)), streams=((0,), (1,)))
    assert engine(program, np.array([100, 100])).finish_ps.tolist() == [200, 200]


@pytest.mark.parametrize("engine", [replay, replay_simpy])
def test_a_flow_speeds_up_once_it_is_alone(engine) -> None:  # type: ignore[no-untyped-def]
    program = flows(100, 40, routes=((0,), (0,)), streams=((0,), (1,)))
    assert engine(program, np.array([100, 40])).finish_ps.tolist() == [140, 80]


@pytest.mark.parametrize("engine", [replay, replay_simpy])
def test_the_busiest_link_of_a_route_decides(engine) -> None:  # type: ignore[no-untyped-def]
    program = flows(90, 90, 90, routes=((0, 1), (1,), (1,)), streams=((0,), (1,), (2,)))
    assert engine(program, np.array([90, 90, 90])).finish_ps.tolist() == [270, 270, 270]


@pytest.mark.parametrize("engine", [replay, replay_simpy])
def test_flows_on_different_links_do_not_meet(engine) -> None:  # type: ignore[no-untyped-def]
    program = flows(90, 70, routes=((0,), (1,)), streams=((0,), (1,)))
    assert engine(program, np.array([90, 70])).finish_ps.tolist() == [90, 70]
    assert not any(shape.shared for shape in structure_of(program).shapes)


@pytest.mark.parametrize("engine", [replay, replay_simpy])
def test_an_empty_flow_disturbs_nobody(engine) -> None:  # type: ignore[no-untyped-def]
    program = flows(100, 0, routes=((0,), (0,)), streams=((0,), (1,)))
    assert engine(program, np.array([100, 0])).finish_ps.tolist() == [100, 0]


def test_a_collective_over_unfolded_ranks_waits_for_the_slowest() -> None:
    program = Program(
        names=("work0", "work1", "all_reduce", "after0", "after1"),
        categories=("gemm", "gemm", "comm", "gemm", "gemm"),
        deps=((), (), (0, 1), (2,), (2,)),
        streams=((0,), (1,), (2, 3), (0,), (1,)),
        links=((),) * 5,
        rows=(0, 1, 2, 3, 3),
        stream_table=(Stream(0, "compute"), Stream(1, "compute"), Stream(0, "comm"), Stream(1, "comm")),
        multiplicity=(31, 1),
    )
    timeline = replay(program, np.array([10, 25, 5, 1]))
    assert timeline.start_ps.tolist() == [0, 0, 25, 30, 30]
    assert timeline.makespan_ps() == 31
