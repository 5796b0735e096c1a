"""Built graphs do the work of their closed forms, for scalars and for whole sweeps."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from simulator.models.build import build
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape
from tests.models import closed_forms
from tests.models.bundled import NAMES, model

PLAIN = [n for n in NAMES if not model(n).hyper and not model(n).delta_net and not model(n).mamba]
STAGES = {
    "embed", "attention_in", "attention_core", "gate", "dispatch", "experts", "combine", "shared", "ffn", "head", "mtp"
}  # fmt: skip


def flops(graph: Graph) -> np.ndarray:
    return totals(graph)["flops"]


def core_flops(name: str, step: StepShape) -> float:
    """Attention and indexer FLOPs of a step in which every query sees all earlier tokens."""
    m = model(name)
    q, kv = int(step.q_len), int(step.kv_len)
    seen = np.arange(kv - q + 1, kv + 1, dtype=float)
    total = 0.0
    for layer in m.sequence():
        sparse = layer.mixer.startswith("mla_dsa")
        absorbed = step.phase == "decode" or sparse
        width = m.indexer.topk if sparse else m.gqa.window if layer.mixer == "gqa_window" else kv
        total += np.minimum(seen, width).sum() * closed_forms.pair_flops(m, layer.mixer, absorbed)
        if layer.mixer == "mla_dsa":
            total += seen.sum() * 2 * m.indexer.heads * m.indexer.dim
    return float(step.batch) * total


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", PLAIN)
def test_flops_of_a_step_are_linear_plus_attention(name: str, phase: str) -> None:
    """Prefill of 3 prompts of 5000 tokens; decode of 7 requests at 5000 tokens. The head sees sampled tokens only."""
    step = StepShape("prefill", 3, 5000, 5000) if phase == "prefill" else StepShape("decode", 7, 1, 5000)
    m, tokens = model(name), int(step.tokens)
    head = 2 * m.vocab_size * m.hidden_size
    linear = tokens * (closed_forms.linear_flops(m) - head) + int(step.batch) * head
    assert flops(build(m, step)) == pytest.approx(linear + core_flops(name, step), rel=1e-9)


def test_masked_prefill_of_sparse_attention_computes_all_pairs() -> None:
    """Short prompts run dense attention with a mask; the indexer runs all the same."""
    step = StepShape("prefill", 1, 3000, 3000)
    m = model("deepseek-v3.2")
    masked, sparse = (flops(build(m, step, options=Options(masked_mha_below=b))) for b in (4096, 0))
    pairs, some = 3000 * 3001 / 2, sum(min(p, 2048) for p in range(1, 3001))
    dense, absorbed = (closed_forms.pair_flops(m, "mla_dsa", a) for a in (False, True))
    assert masked - sparse == pytest.approx(61 * (pairs * dense - some * absorbed), rel=1e-6)


def test_a_sweep_across_the_masking_threshold_is_refused() -> None:
    lengths = np.array([1024, 8192])
    with pytest.raises(ValueError, match="masked_mha_below=4096"):
        build(model("deepseek-v3.2"), StepShape("prefill", 1, lengths, lengths), options=Options(masked_mha_below=4096))


@pytest.mark.parametrize("layout", [Layout(), Layout(tp=8), Layout(dp=8, ep=8), Layout(tp=2, dp=4, ep=8)])
@pytest.mark.parametrize("name", ["deepseek-v3.2", "deepseek-v4-flash", "qwen3-next-80b-a3b", "gpt-oss-20b"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_arrays_as_dimensions_give_the_scalar_answers(name: str, phase: str, layout: Layout) -> None:
    """One graph for a sweep over batch and context equals a graph per point."""
    m = model(name)
    if layout.tp > 2 and m.delta_net:
        layout = Layout(tp=2)
    batch, context = np.array([8, 16, 64]), np.array([512, 4096, 32768])
    q = context if phase == "prefill" else np.array([1, 1, 1])
    sweep = totals(build(m, StepShape(phase, batch, q, context), layout))  # type: ignore[arg-type]
    for i in range(3):
        step = StepShape(phase, int(batch[i]), int(q[i]), int(context[i]))  # type: ignore[arg-type]
        for what, one in totals(build(m, step, layout)).items():
            assert np.broadcast_to(sweep[what], 3)[i] == pytest.approx(float(one), rel=1e-9), what


def totals(graph: Graph) -> dict[str, np.ndarray]:
    """Sums over all nodes."""
    work, counts = graph.work(), Counter(n.template for n in graph.nodes)
    parts = ("flops", "bytes_read", "bytes_written", "wire_bytes", "vector_ops")
    return {
        part: sum((np.asarray(getattr(work[t], part)()) * k for t, k in counts.items()), start=np.zeros(()))
        for part in parts
    }


@pytest.mark.parametrize("overlap", ["none", "two_batch"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", NAMES)
def test_nodes_are_labelled_and_in_topological_order(name: str, phase: str, overlap: str) -> None:
    """Every input exists before it is read; every stage is one the schedules know."""
    step = StepShape("prefill", 2, 64, 64) if phase == "prefill" else StepShape("decode", 2, 1, 64)
    graph = build(model(name), step, options=Options(overlap=overlap))
    known = {*graph.inputs, *(v.id for v in graph.values if v.role == "weight")}
    for number, node in enumerate(graph.nodes):
        assert node.id == number
        assert known.issuperset(node.inputs), node.name
        assert node.stage in STAGES
        assert node.stream in ("compute", "comm", "copy")
        known.update(node.outputs)
    assert known.issuperset(graph.outputs)
    assert {n.layer for n in graph.nodes} >= set(range(model(name).num_layers))


def test_layers_of_one_kind_share_templates() -> None:
    """DeepSeek-V3: first dense, other dense, expert layers, and the ends."""
    graph = build(model("deepseek-v3"), StepShape("decode", 8, 1, 128))
    by_layer: dict[int, list[int]] = {}
    for n in graph.nodes:
        by_layer.setdefault(n.layer, []).append(n.template)
    assert by_layer[1] == by_layer[2]
    assert by_layer[3] == by_layer[60]
    assert set(by_layer[0]).isdisjoint(by_layer[1])
    assert len(graph.templates()) < 160


@pytest.mark.parametrize("drafts", [1, 2, 4])
def test_a_draft_pass_is_one_layer_and_a_head(drafts: int) -> None:
    """V3 report: a module is eh_proj, one layer and the shared head.

    The first pass takes 1 + k tokens of a request, each of the others one; every pass chooses one token.
    """
    m, batch, context = model("deepseek-v3"), 8, 1024
    step = StepShape("decode", batch, 1 + drafts, context)
    with_module, without = (build(m, step, options=Options(mtp_passes=n)) for n in (drafts, 0))
    layer = closed_forms.mixer_matrices(m, "mla") + closed_forms.ffn_matrices(m, "moe")[1]
    tokens = batch * (1 + drafts + drafts - 1)
    linear = tokens * 2 * (2 * m.hidden_size**2 + layer) + drafts * batch * 2 * m.vocab_size * m.hidden_size
    seen = sum(context - i for i in range(1 + drafts)) + sum(context + i for i in range(1, drafts))
    pairs = batch * seen * closed_forms.pair_flops(m, "mla", True)
    assert flops(with_module) - flops(without) == pytest.approx(linear + pairs, rel=1e-9)


def test_building_the_largest_graph_is_quick() -> None:
    """61 layers within 150 ms of processor time; the bound leaves room for a slower machine."""
    m, step = model("deepseek-v3.2"), StepShape("decode", 128, 1, 4096)
    build(m, step, Layout(dp=32, ep=32))
    best = min(_seconds(lambda: build(m, step, Layout(dp=32, ep=32))) for _ in range(5))
    assert best < 0.3


def _seconds(run) -> float:  # type: ignore[no-untyped-def]
    start = time.process_time()
    run()
    return time.process_time() - start
