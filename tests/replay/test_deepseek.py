"""Replay of DeepSeek graphs: overlap, unequal ranks and pipeline stages give what the reference gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.models.build import build
from simulator.models.graph import Graph, Node
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.ops.expert_exchange import ExpertCombine, ExpertDispatch
from simulator.ops.op import CollectiveOp
from simulator.profiles import load_model
from simulator.replay.batched import makespans, replay
from simulator.replay.build import program_of
from simulator.replay.program import Program, Times
from simulator.replay.simpy_engine import replay_simpy
from simulator.replay.structure import structure_of
from simulator.replay.summary import summarise

STEPS = {"decode": StepShape("decode", 64, 1, 4096), "prefill": StepShape("prefill", 4, 2048, 2048)}


def graph_of(phase: str, overlap: str, layout: Layout | None = None) -> Graph:
    model = load_model("deepseek-v3.2")
    return build(model, STEPS[phase], layout or Layout(dp=32, ep=32), options=Options(overlap=overlap))


def times_of(graph: Graph, scenarios: int) -> dict[int, np.ndarray]:
    """Arbitrary times; the same for every scenario of a view (nothing)."""
    rng = np.random.default_rng(7)
    return {t: rng.uniform(1e-6, 9e-5, scenarios) * bool(work.terms) for t, work in graph.work().items()}


def assert_equal_to_simpy(program: Program, durations: Times) -> None:
    expected, found = replay_simpy(program, durations), replay(program, durations)
    np.testing.assert_array_equal(found.start_ps, expected.start_ps)
    np.testing.assert_array_equal(found.finish_ps, expected.finish_ps)
    np.testing.assert_array_equal(makespans(program, durations), expected.makespan_ps())


@pytest.mark.parametrize("phase", STEPS)
@pytest.mark.parametrize("overlap", ["none", "two_batch"])
def test_deepseek_step_equals_simpy(phase: str, overlap: str) -> None:
    graph = graph_of(phase, overlap)
    program, durations = program_of(graph, times_of(graph, 2))
    assert_equal_to_simpy(program, durations)


def test_two_batch_overlap_hides_communication() -> None:
    exposed = {}
    for overlap in ("none", "two_batch"):
        graph = graph_of("decode", overlap)
        works = graph.work()
        times = {
            t: 5e-5 if isinstance(node.op, ExpertDispatch | ExpertCombine) else 1e-5 * bool(works[t].terms)
            for t, node in graph.templates().items()
        }
        summary = summarise(*program_of(graph, times))
        exposed[overlap] = summary.exposed_ps[0] / summary.busy_ps[0, "comm"]
    assert exposed["none"] > 0.5
    assert exposed["two_batch"] < 0.5 * exposed["none"]


def test_repeated_layers_fold_into_few_segments() -> None:
    graph = graph_of("decode", "two_batch")
    program, _ = program_of(graph, times_of(graph, 1))
    shapes = structure_of(program).shapes
    assert sum(len(s) for s in shapes) < len(program) / 10


def test_unequal_ranks_equal_simpy_and_wait_for_the_slowest() -> None:
    graph = graph_of("decode", "none")
    times = times_of(graph, 2)
    slow = {
        t: np.stack([times[t], 1.7 * times[t]]) if node.stage == "experts" else times[t]
        for t, node in graph.templates().items()
    }
    program, durations = program_of(graph, slow, multiplicity=(31, 1))
    assert_equal_to_simpy(program, durations)
    folded, equal = program_of(graph, times)
    assert np.all(replay(program, durations).makespan_ps() > replay(folded, equal).makespan_ps())


def test_pipeline_stages_run_on_ranks_of_their_own() -> None:
    graph = graph_of("prefill", "two_batch", Layout(tp=8, ep=8, pp=4))
    program, durations = program_of(graph, times_of(graph, 2))
    assert {s.rank for s in program.stream_table} == {0, 1, 2, 3}
    assert program.multiplicity == (1, 1, 1, 1)
    assert_equal_to_simpy(program, durations)


def test_flows_of_overlapping_batches_share_links_exactly() -> None:
    """Exchange and a copy of the cache to the host meet on one network card."""
    graph = graph_of("decode", "two_batch")
    templates = graph.templates()
    copies = {t for t, node in templates.items() if node.name == "kv_append"}
    moved = graph.with_nodes(
        tuple(n if n.template not in copies else _on_copy_stream(n) for n in graph.nodes if n.layer < 8)
    )
    links = {t: ("nic",) for t, node in templates.items() if isinstance(node.op, CollectiveOp) or t in copies}
    program, durations = program_of(moved, times_of(graph, 3), links)
    assert any(shape.shared for shape in structure_of(program).shapes)
    assert_equal_to_simpy(program, durations)


def _on_copy_stream(node: Node) -> Node:

    return replace(node, stream="copy")
