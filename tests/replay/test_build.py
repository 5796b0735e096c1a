"""From an operator graph and times per template to a program."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pytest

from simulator.models.graph import Graph, Node, Value
from simulator.ops.op import Array, CollectiveOp, Example, Op
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work
from simulator.replay.batched import replay
from simulator.replay.build import fold_ranks, program_of

SPEC = TensorSpec((1,))


@dataclass(frozen=True)
class Same(Op):
    """Passes its input on."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        return inputs

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        return Work()

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        return arrays

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example(cls(), (np.ones(1),), ("bfloat16",)),)


@dataclass(frozen=True)
class Meet(CollectiveOp):
    """Every rank waits for every rank."""

    group: str = "ep"
    ranks: int = 1
    family = "exchange"
    infer, work, reference, examples = Same.infer, Same.work, Same.reference, Same.examples  # type: ignore[assignment]

    def exchange(self, per_rank: list[tuple[Array, ...]]) -> tuple[list[tuple[Array, ...]], list[int]]:
        return per_rank, [0] * len(per_rank)


def layered(layers: int) -> Graph:
    """attention -> exchange -> expert, with a shared expert beside the exchange."""
    values = [Value(0, "x", SPEC, "input")]
    nodes: list[Node] = []

    def add(op: Op, inputs: tuple[int, ...], template: int, stage: str, stream: str, layer: int) -> int:
        values.append(Value(len(values), stage, SPEC))
        nodes.append(
            Node(len(nodes), f"{stage}{layer}", op, inputs, (values[-1].id,), template, layer, "moe", stage, stream)
        )
        return values[-1].id

    last = 0
    for layer in range(layers):
        attention = add(Same(), (last,), 0, "attention", "compute", layer)
        sent = add(Meet(), (attention,), 1, "dispatch", "comm", layer)
        shared = add(Same(), (attention,), 2, "shared", "compute", layer)
        last = add(Same(), (sent, shared), 3, "experts", "compute", layer)
    return Graph(tuple(nodes), tuple(values), (0,), (last,))


def test_streams_dependencies_and_categories_follow_the_graph() -> None:
    program, durations = program_of(layered(2), {0: 3e-12, 1: 5e-12, 2: 2e-12, 3: 4e-12})
    assert program.categories[:4] == ("attention", "dispatch", "shared", "experts")
    assert replay(program, durations).finish_ps.tolist() == [3, 8, 5, 12, 15, 20, 17, 24]
    assert program.origin == tuple(range(8))


def test_scenarios_broadcast_against_common_times() -> None:
    program, durations = program_of(
        layered(1), {0: np.array([1e-12, 2e-12]), 1: 5e-12, 2: 0.0, 3: np.array([0, 1e-12])}
    )
    assert durations.shape == (3, 2)
    assert replay(program, durations).makespan_ps().tolist() == [6, 8]


def test_unequal_ranks_unfold_and_meet_in_collectives() -> None:
    times = {0: 3e-12, 1: 5e-12, 2: 1e-12, 3: np.array([[4e-12], [9e-12]])}
    program, durations = program_of(layered(2), times, multiplicity=(31, 1))
    timeline = replay(program, durations).scenario(0)
    assert len(program) == 2 * 7
    assert program.multiplicity == (31, 1)
    second_exchange = [i for i, c in enumerate(program.categories) if c == "dispatch"][1]
    assert timeline.start_ps[second_exchange] == 3 + 5 + 9 + 3
    assert timeline.makespan_ps() == 2 * (3 + 5 + 9)


def test_what_takes_no_time_is_left_out_but_passes_dependencies_on() -> None:
    program, durations = program_of(layered(1), {0: 3e-12, 1: 5e-12, 2: 0.0, 3: 4e-12})
    assert program.categories == ("attention", "dispatch", "experts")
    assert program.deps == ((), (0,), (0, 1))
    assert replay(program, durations).makespan_ps() == 12


def test_routes_of_transfers_become_links() -> None:
    program, _ = program_of(layered(1), dict.fromkeys(range(4), 1e-12), {1: ("nvlink", "rail0")})
    assert program.link_names == ("nvlink", "rail0")
    assert program.links == ((), (0, 1), (), ())


def test_equal_ranks_fold() -> None:
    multiplicity, first = fold_ranks([[1.0, 2.0], [3.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    assert multiplicity == (3, 1)
    assert first.tolist() == [0, 1]


def test_missing_and_ill_shaped_times_are_errors() -> None:
    graph = layered(1)
    with pytest.raises(ValueError, match=r"no time for templates \[3\]"):
        program_of(graph, {0: 1.0, 1: 1.0, 2: 1.0})
    with pytest.raises(ValueError, match="rank classes"):
        program_of(graph, {0: np.ones((3, 1)), 1: 1.0, 2: 1.0, 3: 1.0}, multiplicity=(1, 1))
    with pytest.raises(ValueError, match="disagree"):
        program_of(graph, {0: np.ones(3), 1: np.ones(2), 2: 1.0, 3: 1.0})


def test_structure_is_built_once_per_graph() -> None:
    graph = layered(1250)
    times = dict.fromkeys(range(4), 1e-12)
    first, _ = program_of(graph, times)
    began = time.perf_counter()
    second, _ = program_of(graph, times)
    assert second is first
    assert time.perf_counter() - began < 0.05


def test_a_graph_out_of_order_is_refused() -> None:
    graph = layered(1)
    shuffled = graph.with_nodes((graph.nodes[1], graph.nodes[0], *graph.nodes[2:]))
    with pytest.raises(ValueError, match=r"dispatch0.*uses attention before it is made"):
        program_of(shuffled, dict.fromkeys(range(4), 1e-12))
