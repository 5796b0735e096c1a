"""Every kind of parallel layout runs end to end, and pipeline stages count what they say they count."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.study.pipelining import flow, step_time
from simulator.study.result import Result
from simulator.study.simulate import simulate

EXPERTS, DENSE = "deepseek-v3.2", "llama-3.1-70b"


def run(model: str, **options: str) -> Result:
    start = {"model": model, "dp": "1", "ep": "1"} if model == DENSE else {"model": model, "phases.prefill.batch": "4"}
    return simulate("deepseek-v3.2-chat", start | {k.replace("__", "."): v for k, v in options.items()})


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (EXPERTS, {"tp": "2", "dp": "4", "ep": "8"}),
        (EXPERTS, {"tp": "2", "dp": "4", "ep": "4"}),
        (EXPERTS, {"tp": "8", "dp": "1", "ep": "2"}),
        (EXPERTS, {"tp": "2", "dp": "2", "pp": "2", "ep": "4"}),
        (EXPERTS, {"tp": "2", "dp": "2", "pp": "2", "ep": "2", "chunk": "2048"}),
        (DENSE, {"tp": "2", "dp": "4"}),
        (DENSE, {"tp": "4", "pp": "2"}),
        (DENSE, {"tp": "2", "pp": "4", "parallel__sequence_parallel": "true"}),
        (DENSE, {"tp": "8", "parallel__sequence_parallel": "true"}),
    ],
)
def test_a_layout_runs(model: str, options: dict[str, str]) -> None:
    result = run(model, **options)
    for phase in result.phases.values():
        assert phase.seconds >= phase.roofline_seconds / int(options.get("pp", 1)) > 0
        assert sum(phase.exposed.values()) == pytest.approx(phase.seconds, rel=1e-9)
        assert float(phase.energy.total) < result.power_limit_w * phase.seconds * 1.05


def test_context_parallel_prefill_with_a_decode_layout_of_its_own() -> None:
    options = {"tp": "2", "cp": "2", "dp": "2", "ep": "8"}
    decode = {f"phases__decode__parallel__{k}": v for k, v in {"tp": "2", "dp": "4", "ep": "8"}.items()}
    split, whole = run(EXPERTS, **options, **decode), run(EXPERTS, tp="2", dp="4", ep="8")
    assert split.phases["decode"].seconds == whole.phases["decode"].seconds
    assert split.phases["prefill"].seconds < whole.phases["prefill"].seconds


def test_expert_tensor_parallel_splits_the_experts() -> None:
    """ep 2 on eight ranks leaves four ranks to each expert: more weights a rank, each a quarter wide."""
    wide, narrow = run(EXPERTS, tp="8", dp="1", ep="8"), run(EXPERTS, tp="8", dp="1", ep="2")
    weights = [r.phases["decode"].memory.parts["expert_weights"] for r in (wide, narrow)]
    assert weights[0] == pytest.approx(weights[1], rel=0.02)


def test_fill_and_drain_of_equal_stages() -> None:
    """GPipe: m micro-batches on p equal stages take (m + p - 1) stage times; decode in its steady state takes m or p."""
    stages = np.full((4, 1), 2.0)
    for count in (1, 4, 16):
        assert step_time("prefill", stages, count) == pytest.approx(2.0 * (count + 3))
        assert step_time("decode", stages, count) == pytest.approx(2.0 * max(count, 4))
        assert flow(stages, np.array([count])) == pytest.approx(2.0 * (count + 3))


def test_the_slowest_stage_sets_the_pace() -> None:
    stages = np.array([[1.0], [3.0], [1.0]])
    assert step_time("prefill", stages, 5) == pytest.approx(5.0 + 4 * 3.0)
    assert step_time("decode", stages, 3) == pytest.approx(9.0)
    assert flow(np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([1, 1])) == pytest.approx(5.0)


def test_pipeline_stages_keep_the_devices_busy() -> None:
    """Decode with a micro-batch per stage: half the requests at a time through layers of half as many devices."""
    one, two = run(DENSE, tp="4", num_devices="4", dp="1"), run(DENSE, tp="4", pp="2", num_devices="8", dp="1")
    assert two.phases["decode"].seconds < 1.15 * one.phases["decode"].seconds
    more = run(DENSE, tp="4", pp="2", dp="1", phases__prefill__batch="16").phases["prefill"]
    alone = run(DENSE, tp="4", num_devices="4", dp="1", phases__prefill__batch="16").phases["prefill"]
    assert 0.5 < more.seconds / alone.seconds < 0.85
    assert any("micro-batches" in note for note in two.notes)
