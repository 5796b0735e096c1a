"""Mixed steps: two attentions, everything else once; the work of both steps in less time."""

from __future__ import annotations

import pytest

from simulator.models.build import build
from simulator.models.layout import Layout
from simulator.models.step import StepShape, mixed
from simulator.profiles import ProfileError
from simulator.study.result import PhaseResult
from simulator.study.simulate import simulate
from tests.models.bundled import model

DECODES, CHUNK = StepShape("decode", 24, 1, 5000), StepShape("prefill", 2, 700, 3000)
APART = {
    "phases.decode.batch": "24", "phases.decode.context": "5000",
    "phases.prefill.batch": "2", "phases.prefill.isl": "3000", "phases.prefill.prefix_len": "2300",
    "phases.mixed.decode.batch": "24", "phases.mixed.decode.context": "5000",
    "phases.mixed.prefill.batch": "2", "phases.mixed.prefill.tokens": "700", "phases.mixed.prefill.prefix_len": "2300",
}  # fmt: skip
MODELS = ("llama-3.1-8b", "gemma-3-12b", "gpt-oss-20b", "deepseek-v3", "deepseek-v3.2", "deepseek-v4-flash")
MODELS += ("qwen3-next-80b-a3b", "nemotron-nano-9b-v2")


@pytest.mark.parametrize("name", MODELS)
def test_a_mixed_step_does_the_work_of_both(name: str) -> None:
    """FLOPs are those of a decode step and a prefill step; the weights are read once."""
    m = model(name)
    graphs = [build(m, step) for step in (mixed(DECODES, CHUNK), DECODES, CHUNK)]
    totals = []
    for graph in graphs:
        work = graph.work()
        totals.append(sum(float(work[n.template].flops()) for n in graph.nodes))
    assert totals[0] == pytest.approx(totals[1] + totals[2], rel=2e-3 if m.moe else 1e-9)
    assert float(graphs[0].weight_bytes()) == float(graphs[1].weight_bytes())


@pytest.mark.parametrize("layout", [Layout(tp=8, ep=8), Layout(dp=8, ep=8), Layout(tp=4, dp=2, ep=8)])
def test_only_what_works_per_request_is_there_twice(layout: Layout) -> None:
    graph = build(model("deepseek-v3.2"), mixed(DECODES, CHUNK), layout)
    names = [n.name for n in graph.nodes if n.layer == 5]
    for name in ("attention", "index_scores", "index_topk", "kv_append", "index_append"):
        assert [n for n in names if n.startswith(name)].count(f"{name}_decode") == 1
        assert [n for n in names if n.startswith(name)].count(f"{name}_prefill") == 1
    for name in ("q_b", "kv_a", "o_proj", "q_rope", "index_q", "moe_gate", "expert_up", "combine"):
        assert names.count(name) == 1
    dispatched = next(n for n in graph.nodes if n.name == "expert_up")
    rows = graph.specs(dispatched.inputs)[0].shape[0]
    assert float(rows) == pytest.approx(8 * (24 + 1400) * (layout.dp if layout.ep > 1 else 1) / 8, rel=1e-6)


@pytest.mark.parametrize("name", ["llama-3.1-70b", "deepseek-v3.2"])
def test_a_mixed_step_is_faster_than_both_steps_and_slower_than_either(name: str) -> None:
    found = run(APART | {"model": name, "tp": "8", "dp": "1", "ep": "1" if name.startswith("llama") else "8"})
    both = found["decode"].seconds + found["prefill"].seconds
    assert max(found["decode"].seconds, found["prefill"].seconds) < found["mixed"].seconds < both
    assert found["mixed"].requests == 26
    assert (found["mixed"].output_tokens, found["mixed"].input_tokens) == (24, 1400)
    assert sum(found["mixed"].exposed.values()) == pytest.approx(found["mixed"].seconds)


def test_drafts_of_a_mixed_step_are_costed() -> None:
    options = APART | {"tp": "8", "dp": "1"}
    drafted = run(options | {"num_speculative_tokens": "2", "acceptance_rate": "0.7"})["mixed"]
    assert drafted.seconds > run(options)["mixed"].seconds
    assert [o.name for o in drafted.operators if o.layer_kind == "mtp" and o.name == "mtp_proj"] == ["mtp_proj"] * 2
    assert drafted.output_tokens == pytest.approx(24 * (1 + 0.7 + 0.49))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tp": "4", "pp": "2", "dp": "1", "ep": "4"}, "pp=2 deals a step to micro-batches; a mixed step is one batch"),
        ({"overlap": "two_micro_batch"}, "overlap of two micro-batches cannot halve a mixed step"),
        ({"cp": "2", "dp": "4"}, "cp=2 splits prompts"),
        ({"model": "gated-latent-8b", "ep": "1"}, "blocks.gated_attention: cannot run in phases.mixed"),
    ],
)
def test_what_a_mixed_step_cannot_do_is_said(options: dict[str, str], says: str) -> None:
    mixed_only = {k: v for k, v in APART.items() if ".mixed." in k}
    with pytest.raises(ProfileError) as error:
        run(mixed_only | options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def run(options: dict[str, str]) -> dict[str, PhaseResult]:
    return dict(simulate("deepseek-v3.2-chat", options).phases)
