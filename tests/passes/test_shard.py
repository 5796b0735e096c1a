"""Before and after of the shard pass; over all ranks nothing is lost and only declared duplicates are added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.models.build import build, describe
from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout, resolve
from simulator.models.step import StepShape
from simulator.passes.shard import shard
from simulator.passes.slices import GROUP_OF
from tests.models.bundled import model
from tests.passes.tiny import described, names, node, tiny

FAMILIES = ["deepseek-v3", "deepseek-v3.2", "qwen3-235b-a22b", "llama-3.1-70b", "gpt-oss-20b", "qwen3-next-80b-a3b"]


def sharded(name: str, layout: Layout, phase: str = "decode", layers: int = 0) -> Graph:
    return shard(described(name, phase, layers), resolve(layout, tiny(name, layers)))


def test_before_and_after_of_a_dense_layer() -> None:
    """Column- then row-parallel, one all-reduce each; vocabulary-parallel ends."""
    before = described("llama-3.1-8b")
    after = sharded("llama-3.1-8b", Layout(tp=2))
    added = [n for n in names(after) if n not in names(before)]
    assert added == ["o_proj_all_reduce", "down_all_reduce"] * 2 + ["logits_gather"]
    assert type(node(after, "embed").op).__name__ == "VocabParallelEmbedding"
    assert after.values[node(after, "qkv").inputs[1]].spec.shape == (64, 64)  # (4 + 2 2) heads of 16, halved
    assert after.values[node(after, "qkv").inputs[1]].shard == (0, "tp")
    assert node(after, "qkv_split").op.sizes == (32, 16, 16)


def test_sequence_parallelism_splits_the_residual_stream() -> None:
    """Reduce-scatter after, all-gather before; norms see half of the tokens."""
    after = sharded("llama-3.1-8b", Layout(tp=2, sequence_parallel=True))
    kinds = [type(n.op).__name__ for n in after.nodes if n.stream == "comm"]
    assert kinds.count("ReduceScatter") == 4
    assert kinds.count("AllGather") == 6
    assert after.values[node(after, "ffn_norm").outputs[0]].spec.shape == (4, 64)
    assert after.values[node(after, "up").outputs[0]].spec.shape[0] == 8


def test_latents_are_replicated_and_heads_split() -> None:
    after = sharded("deepseek-v3", Layout(tp=4))
    assert after.values[node(after, "kv_a").inputs[1]].shard is None
    assert after.values[node(after, "q_b").inputs[1]].shard == (0, "tp")
    cache = next(v for v in after.values if v.role == "cache")
    assert cache.shard is None
    assert after.values[node(after, "attention").inputs[0]].spec.shape[2] == 1


def test_experts_without_data_parallelism_share_one_reduction() -> None:
    """Tokens are already everywhere: local experts, shared expert, one all-reduce for both."""
    after = sharded("deepseek-v3", Layout(tp=4, ep=4), layers=1)
    assert node(after, "dispatch").op.mode == "partial"
    comm = [n.name for n in after.nodes if type(n.op).__name__ == "AllReduce"]
    assert comm == ["o_proj_all_reduce", "add_shared_all_reduce"]


def test_experts_with_data_parallelism_exchange_tokens() -> None:
    after = sharded("deepseek-v3", Layout(dp=4, ep=4), layers=1)
    assert (node(after, "dispatch").op.ranks, node(after, "dispatch").op.mode) == (4, "low_latency")
    assert [n.name for n in after.nodes if type(n.op).__name__ in ("AllReduce", "AllGather")] == []
    assert after.values[node(after, "shared_up").inputs[1]].shard is None
    assert after.values[node(after, "expert_up").inputs[2]].spec.shape[0] == 2


def test_expert_width_parallelism_pools_tokens() -> None:
    """Two ranks share each expert: their tokens are gathered before, results reduced and scattered after."""
    after = sharded("deepseek-v3", Layout(dp=4, ep=2), layers=1)
    pooled = [n.name for n in after.nodes if getattr(n.op, "group", "") == "moe_tp"]
    assert len([n for n in pooled if n.endswith("_pool")]) >= 1
    assert "combine_reduce_scatter" in pooled


def test_one_device_is_left_alone() -> None:
    before = described("deepseek-v3")
    after = shard(before, resolve(Layout(), tiny("deepseek-v3")))
    assert after.nodes == before.nodes
    assert after.parallel["tp"] == 1


@st.composite
def layouts(draw: st.DrawFn) -> tuple[str, Layout]:
    """Valid layouts of tiny models: up to 4-way tensor, 4-way data, any expert split."""
    name = draw(st.sampled_from(FAMILIES))
    tp, dp = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from([1, 2, 4]))
    ep = draw(st.sampled_from([e for e in (1, 2, 4, 8) if (tp * dp) % e == 0])) if tiny(name).moe else 1
    return name, Layout(tp=tp, dp=dp, ep=ep, sequence_parallel=draw(st.booleans()))


def copies(value, graph: Graph, ranks: int) -> float:  # type: ignore[no-untyped-def]
    """How often a tensor is held over all ranks, from its annotations alone."""
    slices = 1
    for tag in (value.shard, value.shard_also):
        if tag is not None:
            limit = min(value.ways) if value.ways and tag[1] == "tp" else 10**9
            slices *= min(graph.parallel.get(tag[1], 1), limit)  # an unresolved axis is not cut
    return ranks / slices


@settings(max_examples=40, deadline=None)
@given(layouts())
def test_weights_over_all_ranks_are_the_whole_plus_declared_copies(case: tuple[str, Layout]) -> None:
    name, layout = case
    plan = resolve(layout, tiny(name))
    whole = {v.name: v for v in described(name).values if v.role == "weight"}
    after = shard(described(name), plan)
    for v in (v for v in after.values if v.role == "weight"):
        if len(set(v.ways)) > 1 and v.shard is not None:
            continue  # stacked tensors with different numbers of heads have no single number of copies
        held = float(v.spec.elements) * plan.ranks_per_stage
        expected = float(whole[v.name].spec.elements) * copies(v, after, plan.ranks_per_stage)
        assert held == pytest.approx(expected), v.name


@settings(max_examples=40, deadline=None)
@given(layouts())
def test_flops_over_all_ranks_are_the_whole_plus_declared_duplicates(case: tuple[str, Layout]) -> None:
    """Cut products add up exactly; replicated ones are done once per rank that holds the same tokens."""
    name, layout = case
    plan = resolve(layout, tiny(name))
    step = StepShape("decode", 8, 1, 64)
    alone = describe(tiny(name), StepShape("decode", 8 * plan.dp, 1, 64))
    after = shard(describe(tiny(name), step), plan)
    whole = {(n.layer, n.name): n for n in alone.nodes}
    once = {i: float(w.flops()) for i, w in alone.work().items()}
    each = {i: float(w.flops()) for i, w in after.work().items()}
    for n in after.nodes:
        if each[n.template] == 0 or (n.layer, n.name) not in whole:
            continue
        total = each[n.template] * plan.ranks_per_stage
        ratio = total / once[whole[n.layer, n.name].template]
        few = tiny(name).gqa is not None and tiny(name).gqa.kv_heads < plan.tp  # ranks share a KV head
        most = (plan.tp / 2 if few else 1.0) if _cut(n, after) else float(plan.tp * plan.groups()["moe_tp"])
        assert 1 - 1e-9 <= ratio <= most + 1e-9, (n.name, ratio)


def _cut(n, graph: Graph) -> bool:  # type: ignore[no-untyped-def]
    return any(graph.values[i].role == "weight" and graph.values[i].shard is not None for i in n.inputs)


@pytest.mark.parametrize("tp", [2, 4, 8])
def test_wire_bytes_of_tensor_parallelism(tp: int) -> None:
    """Two all-reduces of 2 h bytes a token and layer, one for the embedding, and the gathered logits."""
    m, tokens = model("llama-3.1-70b"), 16
    graph = build(m, StepShape("decode", tokens, 1, 1024), Layout(tp=tp), Formats())
    work = graph.work()
    wire = sum(float(np.asarray(work[n.template].wire_bytes())) for n in graph.nodes)
    reduced = 2 * (tp - 1) / tp * 2 * m.hidden_size * tokens * (2 * m.num_layers + 1)
    assert wire == pytest.approx(reduced + (tp - 1) / tp * 2 * m.vocab_size * tokens, rel=1e-12)


def test_wire_bytes_of_expert_parallelism() -> None:
    """V3 decode: 8 copies of 7,392 B out and 14,336 B back per token and expert layer, 31/32 of them leave the rank."""
    graph = build(model("deepseek-v3"), StepShape("decode", 128, 1, 4096), Layout(dp=32, ep=32))
    work = graph.work()
    wire = sum(float(np.asarray(work[n.template].wire_bytes())) for n in graph.nodes)
    assert wire == pytest.approx(58 * 128 * 8 * (7392 + 14336) * 31 / 32, rel=1e-12)


def test_every_logical_axis_has_a_group() -> None:
    used = {
        tag[1]
        for name in ("deepseek-v3.2", "deepseek-v4-flash", "qwen3-next-80b-a3b", "nemotron-3-nano")
        for v in described(name).values
        for tag in (v.shard, v.shard_also)
        if tag is not None
    }
    assert used <= set(GROUP_OF)
