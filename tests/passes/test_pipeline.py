"""Pipeline stages: layers dealt evenly, what crosses is sent once per boundary."""

from __future__ import annotations

from simulator.models.build import build
from simulator.models.layout import Layout
from simulator.models.step import StepShape
from simulator.passes.pipeline import pipeline, stage_of
from simulator.passes.unroll import unroll
from tests.models.bundled import model
from tests.passes.tiny import described


def test_layers_are_dealt_evenly() -> None:
    stages = [stage_of(i, 61, 4) for i in range(61)]
    assert stages == sorted(stages)
    assert {stages.count(s) for s in range(4)} == {15, 16}


def test_before_and_after_of_two_stages() -> None:
    """The residual stream and the last output cross together."""
    before = unroll(described("llama-3.1-8b"))
    after = pipeline(before, 2, 2)
    sent = [n for n in after.nodes if n.name == "stage_send"]
    assert len(sent) == 2
    assert {n.stream for n in sent} == {"comm"}
    assert {n.pipeline for n in after.nodes if n.layer == 0} == {0}
    assert {n.pipeline for n in after.nodes if n.layer == 1 or n.stage == "head"} == {1}
    assert [n.template for n in after.nodes if n.name != "stage_send"] == [n.template for n in before.nodes]


def test_every_boundary_is_crossed_in_turn() -> None:
    """Four stages: three boundaries, two tensors each, 2 h bytes a token."""
    m = model("llama-3.1-70b")
    graph = build(m, StepShape("decode", 32, 1, 1024), Layout(pp=4))
    sent = [n for n in graph.nodes if n.name == "stage_send"]
    assert sorted(n.pipeline for n in sent) == [1, 1, 2, 2, 3, 3]
    work = graph.work()
    assert sum(float(work[n.template].wire_bytes()) for n in sent) == 6 * 32 * 2 * m.hidden_size


def test_one_stage_changes_nothing() -> None:
    graph = unroll(described("llama-3.1-8b"))
    assert pipeline(graph, 2, 1) is graph
