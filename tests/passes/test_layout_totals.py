"""Over all ranks of any valid layout: weights, caches, FLOPs and wire bytes are those of one device plus declared copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.models.build import build
from simulator.models.formats import Formats
from simulator.models.graph import Graph, Value
from simulator.models.layout import Layout, resolve
from simulator.models.step import StepShape
from simulator.profiles.model import Model
from tests.passes.tiny import tiny

FAMILIES = ["deepseek-v3", "qwen3-235b-a22b", "llama-3.1-70b", "gpt-oss-20b", "deepseek-v3.2", "mixtral-8x7b"]
BF16 = 2
Case = tuple[Model, Layout]


def deep(name: str) -> Model:
    """A tiny model with at least eight layers, so that four pipeline stages have work."""
    m = tiny(name)
    runs = m.layers
    while sum(r.repeat * len(r.pattern) for r in runs) < 8:
        runs = (*runs[:-1], replace(runs[-1], repeat=2 * runs[-1].repeat))
    return replace(m, layers=runs)


@st.composite
def cases(draw: st.DrawFn, names: list[str] = FAMILIES) -> Case:
    """Tensor, data, pipeline, context, expert and expert-tensor parallelism, redundant experts, split residual streams."""
    m = deep(draw(st.sampled_from(names)))
    tp, dp, pp = (draw(st.sampled_from([1, 2, 4])) for _ in range(3))
    cp = draw(st.sampled_from([1, 2])) if m.gqa is not None and dp == 1 else 1
    ranks = tp * dp * cp
    ep = draw(st.sampled_from([e for e in (1, 2, 4, 8) if ranks % e == 0])) if m.moe else 1
    extra = draw(st.sampled_from([0, ep])) if m.moe and ep > 1 else 0
    layout = Layout(tp, dp, pp, cp, 1, ep, 0, draw(st.booleans()), extra)
    try:
        return m, resolve(layout, m)
    except ValueError:
        return m, resolve(replace(layout, redundant_experts=0, ep=1), m)


def sizes(graph: Graph, role: str) -> dict[str, Value]:
    return {v.name: v for v in graph.values if v.role == role}


def copies(value: Value, layout: Layout) -> float:
    """Over how many ranks of a stage each element is held, read off the annotations of the local tensor."""
    cuts = 1
    for tag in (value.shard, value.shard_also):
        if tag is not None:
            cuts *= min(layout.groups().get(tag[1], 1), min(value.ways) if value.ways and tag[1] == "tp" else 10**9)
    return layout.ranks_per_stage / cuts


def step_of(layout: Layout) -> StepShape:
    """A decode step, or a prefill where prompts are cut."""
    return StepShape("prefill", 4, 64, 64) if layout.cp > 1 else StepShape("decode", 4, 1, 64)


def graphs(case: Case, step: StepShape) -> tuple[Graph, Graph]:
    """(one device with all requests, one rank of the layout with its share)."""
    m, layout = case
    whole = replace(step, batch=int(np.asarray(step.batch)) * layout.dp)
    return build(m, whole, Layout(), Formats()), build(m, step, layout, Formats())


@settings(max_examples=30, deadline=None)
@given(cases())
def test_weights(case: Case) -> None:
    m, layout = case
    alone, local = graphs(case, step_of(layout))
    held, whole = sizes(local, "weight"), sizes(alone, "weight")
    slots = 1 + layout.redundant_experts / m.moe.experts if m.moe else 1.0  # replicas are declared copies too
    for name, v in held.items():
        if len(set(v.ways)) > 1:
            continue  # stacked tensors of unequal numbers of heads have no single number of copies
        grown = slots if v.shard is not None and v.shard[1] == "ep" else 1.0
        expected = float(whole[name].spec.elements) * copies(v, layout) * grown
        assert float(v.spec.elements) * layout.ranks_per_stage == pytest.approx(expected, rel=1e-12), name
    assert set(held) == set(whole)  # every stage's weights are somewhere, none twice


@settings(max_examples=30, deadline=None)
@given(cases())
def test_caches(case: Case) -> None:
    """Requests are dealt to data-parallel ranks; a tensor group shares KV heads until one is left; latents are copied.

    A prompt cut by tokens sees half of it on average (test_context.py), so its caches are not counted here.
    """
    m, layout = case[0], replace(case[1], cp=1, ep=min(case[1].ep, case[1].tp * case[1].dp), moe_tp=0)
    layout = resolve(replace(layout, redundant_experts=layout.redundant_experts if layout.ep > 1 else 0), m)
    case = m, layout
    alone, local = graphs(case, step_of(layout))
    held, whole = sizes(local, "cache"), sizes(alone, "cache")
    for name, v in held.items():
        over_all = float(v.spec.elements) * layout.ranks_per_stage
        heads = min(layout.tp, m.gqa.kv_heads) if m.gqa is not None and v.shard is not None else 1
        assert over_all == pytest.approx(float(whole[name].spec.elements) * layout.tp / heads), name
    assert set(held) == set(whole)


def flops(graph: Graph, keep: Callable[[str], bool] = lambda stage: True) -> float:
    work = graph.work()
    return sum(float(np.asarray(work[n.template].flops())) for n in graph.nodes if keep(n.stage))


@settings(max_examples=30, deadline=None)
@given(cases(["llama-3.1-70b", "qwen3-235b-a22b"]), st.sampled_from([16, 64]))
def test_flops_of_a_prompt(case: Case, q: int) -> None:
    """Nothing is computed twice but what a tensor group declares: KV heads beyond one a rank, and the gate of the experts.

    Under context parallelism the gathered prompt is cut by equal work, so attention adds up too.
    """
    _, layout = case
    alone, local = graphs(case, StepShape("prefill", 1, q, q))
    whole = flops(alone, lambda s: s == "attention_core")
    spread = flops(local, lambda s: s == "attention_core") * layout.ranks_per_stage
    assert spread == pytest.approx(whole, rel=0.02 if layout.cp > 1 else 1e-9)
    total, most = flops(alone), flops(local) * layout.ranks_per_stage
    assert most >= total * (1 - (0.02 if layout.cp > 1 else 1e-9))
    assert most <= total * layout.tp * layout.groups()["moe_tp"] * 1.02


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(FAMILIES), st.sampled_from([1, 2, 4]), st.sampled_from([2, 4]))
def test_stages_do_the_work_of_one(name: str, tp: int, pp: int) -> None:
    """Pipeline stages divide the layers: the graph of all stages has the FLOPs of one stage that has them all."""
    m = deep(name)
    step = StepShape("decode", 4, 1, 64)
    ep = tp if m.moe else 1
    one, many = (build(m, step, Layout(tp=tp, pp=p, ep=ep), Formats()) for p in (1, pp))
    assert flops(many) == pytest.approx(flops(one), rel=1e-12)
    assert {n.pipeline for n in many.nodes} == set(range(pp))


def wire(graph: Graph) -> float:
    work = graph.work()
    return sum(float(np.asarray(work[n.template].wire_bytes())) for n in graph.nodes)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.booleans(), st.integers(1, 32))
def test_wire_bytes_of_a_dense_model(tp: int, pp: int, sequence_parallel: bool, batch: int) -> None:
    """A rank sends (tp - 1) / tp of each reduced or gathered row, twice for an all-reduce, and two streams to the next stage."""
    m = deep("llama-3.1-70b")
    layout = resolve(Layout(tp=tp, pp=pp, sequence_parallel=sequence_parallel), m)
    share, row = (tp - 1) / tp, m.hidden_size * BF16 * batch
    split = layout.sequence_parallel and tp > 1
    layers = 4 * share * row * m.num_layers  # two all-reduces, or two reduce-scatters and two all-gathers
    ends = 2 * share * row + (share * row if split else 0.0)  # embedding; and the gather before the head
    logits = share * m.vocab_size * BF16 * batch
    sends = 2 * row * (pp - 1) / (tp if split else 1)
    found = wire(build(m, StepShape("decode", batch, 1, 64), layout, Formats()))
    assert found == pytest.approx(layers + ends + logits + sends, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2]), st.integers(1, 32))
def test_wire_bytes_of_experts(ep: int, moe_tp: int, pp: int, batch: int) -> None:
    """Every token sends one copy per expert it chose, but for the share that stays; tensor groups of experts pool first."""
    m = deep("deepseek-v3")
    assert m.moe is not None
    dp = ep * moe_tp
    try:
        layout = resolve(Layout(dp=dp, ep=ep, pp=pp), m)
    except ValueError:
        return
    layers = sum(x.ffn == "moe" for x in m.sequence())
    row = m.hidden_size * BF16 * batch
    exchange = 2 * row * moe_tp * m.moe.topk * (ep - 1) / ep if ep > 1 else 0.0
    pool = 2 * row * (moe_tp - 1) if ep > 1 else 2 * row * (dp - 1)
    sends = 2 * row * (pp - 1)
    found = wire(build(m, StepShape("decode", batch, 1, 64), layout, Formats()))
    assert found == pytest.approx(layers * (exchange + pool) + sends, rel=1e-12)
