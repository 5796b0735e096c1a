"""Routing end to end: uneven experts are slower, replicas recover it, and what is printed is what was used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.ops.expert_exchange import ExpertDispatch
from simulator.ops.work import ExpertExchange, GroupedMatmul
from simulator.profiles import ProfileError
from simulator.study.deployment import deploy
from simulator.study.simulate import simulate
from simulator.study.step import run_step, shape_of
from tests.cli.command import silicast

UNIT = "deepseek-v3-prefill-ep32"
DECODE = "deepseek-v3-decode-ep144"
ZIPF = {"routing.distribution": "zipf", "routing.exponent": "0.5"}


def seconds(name: str, **options: str) -> float:
    result = simulate(name, {k.replace("__", "."): v for k, v in options.items()})
    return next(iter(result.phases.values())).seconds


def test_uneven_experts_are_slower_and_replicas_recover_most_of_it() -> None:
    balanced, uniform = seconds(UNIT), seconds(UNIT, routing__distribution="uniform")
    zipf = seconds(UNIT, routing__distribution="zipf")
    replicas = seconds(UNIT, routing__distribution="zipf", redundant_experts="32")
    assert balanced <= uniform < replicas < zipf
    assert uniform == pytest.approx(balanced, rel=0.02)
    assert zipf - replicas > 0.5 * (zipf - balanced)


def test_balanced_routing_is_the_default_and_a_factor_still_works() -> None:
    assert seconds(DECODE) == seconds(DECODE, routing__distribution="balanced", routing__seed="3")
    assert seconds(DECODE, expert_imbalance="1.5") > seconds(DECODE, expert_imbalance="1.2") > seconds(DECODE)


def test_prefill_and_decode_use_the_imbalance_of_their_own_tokens() -> None:
    def used(name: str, **more: str) -> float:
        (phase,) = simulate(name, {"routing.distribution": "uniform", **more}).phases.values()
        assert phase.experts is not None
        return phase.experts.imbalance

    assert used(UNIT) < 1.02 < used(DECODE) < used(DECODE, batch="16")


def test_exchange_and_products_are_those_of_the_busiest_rank() -> None:
    """1.5 times the mean: rows, messages and copies of low latency; a node's copies cannot exceed its tokens."""
    steps = {
        x: run_step(d := deploy(DECODE, {"expert_imbalance": x}), d.scenario.phases.decode) for x in ("1.0", "1.5")
    }
    for kind, field in ((ExpertExchange, "tokens"), (GroupedMatmul, "rows")):
        even, uneven = (
            [getattr(t, field) for c in s.costs.values() for t in c.work if isinstance(t, kind)] for s in steps.values()
        )
        assert even
        assert uneven == pytest.approx([1.5 * x for x in even])
    normal = ExpertDispatch(ranks=32, experts=256, topk=8, mode="normal", ranks_per_node=8, imbalance=4.0)
    assert 1 < normal.wire_skew(128) < 1.2
    assert ExpertDispatch(ranks=32, experts=256, topk=8, mode="normal").wire_skew(128) == pytest.approx(1)


def test_a_sweep_over_tokens_gives_what_single_steps_give() -> None:
    deployment = deploy(DECODE, ZIPF)
    phase = deployment.scenario.phases.decode
    assert phase is not None
    batches = np.array([4, 32, 200])
    swept = run_step(deployment, phase, shape_of(deployment, phase, batch=batches)).seconds
    single = [float(run_step(deployment, phase, shape_of(deployment, phase, batch=int(b))).seconds) for b in batches]
    assert np.asarray(swept) == pytest.approx(single, rel=1e-9)


def test_run_and_explain_say_which_imbalance_was_used() -> None:
    options = [x for k, v in ZIPF.items() for x in ("--set", f"{k}={v}")]
    for command in (["run", DECODE], ["explain", DECODE]):
        text = " ".join(silicast(*command, *options).stdout.split())
        assert "Experts, zipf 0.5, replicated with 32 redundant: the busiest of 144 ranks has 1." in text
    experts = json.loads(silicast("run", DECODE, *options, "--format", "json").stdout)["phases"]["decode"]["experts"]
    assert experts["imbalance"] > 1
    assert (experts["ranks"], experts["slots"], experts["nodes"]) == (144, 2, 18)
    assert 0 < experts["active"] <= 2
    assert experts["nodes_reached"] <= experts["ranks_reached"] <= 8
    assert "Experts, balanced: " in silicast("run", DECODE).stdout
    dense = json.loads(
        silicast("run", "deepseek-v3.2-chat", "--set", "model=llama-3.1-8b", "--set", "ep=1", "--format", "json").stdout
    )
    assert all(p["experts"] is None for p in dense["phases"].values())


def test_the_report_says_it_too(tmp_path: Path) -> None:
    silicast("run", DECODE, "--set", "routing.distribution=uniform", "--out", str(tmp_path / "out"))
    assert "Experts, uniform, replicated with 32 redundant" in (tmp_path / "out" / "report.html").read_text()


def test_loads_must_fit_the_model() -> None:
    with pytest.raises(ProfileError, match=r"routing\.loads: 2 weights, but the model has 256 experts"):
        simulate(UNIT, {"routing.distribution": "loads", "routing.loads": "[1, 2]"})
