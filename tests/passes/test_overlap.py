"""Two micro-batches in DeepSeek's order: same work as one batch, exchanges beside the other batch's compute."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.models.build import build
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.passes.overlap import half
from tests.models.bundled import model

TWO = Options(overlap="two_batch")
LAYOUT = Layout(dp=32, ep=32)


def groups(graph: Graph, layer: int, stream: str) -> list[tuple[str, int]]:
    """(stage, micro-batch) of a layer's nodes on one stream, repeats folded."""
    found: list[tuple[str, int]] = []
    for n in graph.nodes:
        if n.layer == layer and n.stream == stream and (not found or found[-1] != (n.stage, n.micro_batch)):
            found.append((n.stage, n.micro_batch))
    return found


def test_decode_schedule_of_a_layer() -> None:
    """[shared(0), front(1)], experts(0), core(1), [shared(1), next front(0)], experts(1), next core(0)."""
    graph = build(model("deepseek-v3"), StepShape("decode", 64, 1, 4096), LAYOUT, options=TWO)
    comm = groups(graph, 10, "comm")
    assert comm == [("dispatch", 0), ("combine", 0), ("dispatch", 1), ("combine", 1)]
    place = {(n.layer, n.stage, n.micro_batch, n.stream): n.id for n in graph.nodes}

    def at(stage: str, batch: int, layer: int = 10, stream: str = "compute") -> int:
        return place[layer, stage, batch, stream]

    assert at("dispatch", 0, stream="comm") < at("shared", 0) < at("attention_in", 1) < at("experts", 0)
    assert at("experts", 0) < at("combine", 0, stream="comm") < at("attention_core", 1)
    assert at("attention_core", 1) < at("dispatch", 1, stream="comm")
    assert at("shared", 1) < at("attention_in", 0, layer=11) < at("experts", 1) < at("attention_core", 0, layer=11)


def test_prefill_schedule_of_a_layer() -> None:
    """Attention(0) over dispatch(1), experts(1) over dispatch(0), experts(0) and shared(1) over combine(1)."""
    graph = build(model("deepseek-v3"), StepShape("prefill", 4, 4096, 4096), LAYOUT, options=TWO)
    assert groups(graph, 10, "comm") == [("dispatch", 1), ("dispatch", 0), ("combine", 1), ("combine", 0)]
    order = [(s, b) for s, b in groups(graph, 10, "compute") if s in ("attention_core", "experts", "shared")]
    assert order == [
        ("attention_core", 1),
        ("attention_core", 0),
        ("experts", 1),
        ("experts", 0),
        ("shared", 1),
        ("shared", 0),
    ]


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", ["deepseek-v3", "llama-3.1-8b"])
def test_both_halves_do_the_work_of_the_whole(name: str, phase: str) -> None:
    """FLOPs and wire bytes add up; weights are read twice and held once."""
    m = model(name)
    step = StepShape("prefill", 4, 512, 512) if phase == "prefill" else StepShape("decode", 64, 1, 512)
    layout = LAYOUT if m.moe else Layout(tp=2)
    whole, halves = build(m, step, layout), build(m, step, layout, options=TWO)
    for what in ("flops", "wire_bytes"):
        assert total(halves, what) == pytest.approx(total(whole, what), rel=1e-9)
    assert halves.weight_bytes() == whole.weight_bytes()
    assert len(halves.nodes) == 2 * len(whole.nodes)


def total(graph: Graph, what: str) -> float:
    work = graph.work()
    return float(sum(np.max(getattr(work[n.template], what)()) for n in graph.nodes))


@pytest.mark.parametrize("q", [512, 4096])
def test_a_single_prompt_is_cut_into_halves_of_equal_attention(q: int) -> None:
    """q/2 queries over q 3/4 keys: the causal pairs of both halves are those of the prompt."""
    part = half(StepShape("prefill", 1, q, q))
    pairs = part.q_len * part.kv_len - part.q_len * part.q_len / 2
    assert 2 * pairs == q * q / 2


def test_halves_of_a_sweep() -> None:
    part = half(StepShape("prefill", np.array([1, 4]), np.array([512, 512]), np.array([512, 512])))
    np.testing.assert_array_equal(part.batch, [1, 2])
    np.testing.assert_array_equal(part.q_len, [256, 512])
    assert half(StepShape("decode", 64, 2, 4096)).batch == 32


def test_unknown_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap='three_batch'; known: none, two_batch"):
        build(model("llama-3.1-8b"), StepShape("decode", 1, 1, 16), options=Options(overlap="three_batch"))
