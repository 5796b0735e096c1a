"""Context parallelism: prompts in shares of equal work, caches in shares of equal size."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.models.build import build
from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.memory import memory
from simulator.models.step import StepShape
from tests.models.bundled import model

PROMPT = StepShape("prefill", 1, 65536, 65536)


def total(graph: Graph, what: str) -> float:
    work = graph.work()
    return float(sum(np.max(getattr(work[n.template], what)()) for n in graph.nodes))


def by_name(graph: Graph, name: str, what: str) -> float:
    work = graph.work()
    return sum(float(np.max(getattr(work[n.template], what)())) for n in graph.nodes if n.name == name)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_shares_of_a_prompt_add_up_to_its_attention(parts: int) -> None:
    """Also with tokens already in the cache."""
    m = model("llama-3.1-8b")
    for past in (0, 30000):
        step = StepShape("prefill", 1, 32768, 32768 + past)
        whole, share = build(m, step), build(m, step, Layout(cp=parts))
        one, each = by_name(whole, "attention", "flops"), by_name(share, "attention", "flops")
        assert parts * each == pytest.approx(one, rel=1e-3)
        assert parts * by_name(share, "up", "flops") == pytest.approx(by_name(whole, "up", "flops"))


def test_new_rows_are_gathered_once_per_layer() -> None:
    """576 values of 2 bytes a token and layer, 7/8 of them from other ranks."""
    graph = build(model("deepseek-v3"), PROMPT, Layout(cp=8, ep=8), Formats())
    wire = by_name(graph, "kv_append_gather", "wire_bytes")
    assert wire == pytest.approx(61 * 65536 * 576 * 2 * 7 / 8)


def test_decode_caches_are_split_inside_a_tensor_group() -> None:
    """Latents are no longer held eight times; the core reads an eighth for eight times the heads."""
    m = model("deepseek-v3")
    step = StepShape("decode", 32, 1, 65536)
    whole, split = build(m, step, Layout(tp=8)), build(m, step, Layout(tp=8, dcp=8))
    assert memory(m, Layout(tp=8, dcp=8)).cache_per_token == memory(m, Layout(tp=8)).cache_per_token / 8
    assert by_name(split, "attention", "flops") == pytest.approx(by_name(whole, "attention", "flops"), rel=1e-3)
    assert by_name(split, "attention", "bytes_read") < 0.2 * by_name(whole, "attention", "bytes_read")
    assert total(split, "wire_bytes") > total(whole, "wire_bytes")


@pytest.mark.parametrize(
    ("name", "layout", "step", "message"),
    [
        ("qwen3-next-80b-a3b", Layout(cp=2), PROMPT, "cannot split the context of delta_net layers"),
        ("deepseek-v3.2", Layout(tp=8, dcp=2), PROMPT, "cannot split the context of mla_dsa layers"),
        ("llama-3.1-70b", Layout(tp=8, dcp=2), PROMPT, "needs 2 ranks on each of its 8 KV heads"),
        ("deepseek-v3", Layout(tp=8, dcp=3), PROMPT, "dcp=3 must divide tp=8"),
        ("deepseek-v3", Layout(cp=2, ep=2), StepShape("decode", 1, 1, 64), "a decode step splits its caches with dcp"),
    ],
)
def test_splits_that_do_not_work_are_refused(name: str, layout: Layout, step: StepShape, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(model(name), step, layout)
