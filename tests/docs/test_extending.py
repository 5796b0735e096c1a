"""The recipes of docs/extending.md, run from the page: files extracted, commands executed, one fact of each checked."""

from __future__ import annotations

import csv
import gc
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.fabric.collectives import collective_cost
from simulator.fabric.stack import collective_stack
from simulator.models import user_block
from simulator.ops.op import registry
from simulator.ops.work import Collective
from simulator.profiles import load_kernels
from simulator.profiles.library import load_device, load_system
from tests.cli.command import Outcome, silicast
from tests.docs.pages import ROOT, Section, sections

RECIPES = {s.heading: s for s in sections(ROOT / "docs" / "extending.md") if s.heading}


@pytest.fixture
def recipe(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Section]:
    """A section with its files written to an empty folder, its Python files importable and its environment set."""
    section = RECIPES[request.param]
    section.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in section.environment().items():
        monkeypatch.setenv(name, value)
    added = [Path(path) for path in section.files() if path.endswith(".py")]
    for path in added:
        package = importlib.import_module(".".join(path.parent.parts))
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / path.parent)])
    importlib.invalidate_caches()
    user_block.operators.cache_clear()
    yield section
    for path in added:
        package = sys.modules[".".join(path.parent.parts)]
        sys.modules.pop(".".join(path.with_suffix("").parts), None)
        if hasattr(package, path.stem):
            delattr(package, path.stem)
    user_block.operators.cache_clear()
    gc.collect()


def use(heading: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recipe", [heading], indirect=True, ids=[heading])


def run(section: Section) -> dict[str, Outcome]:
    """Outcome of every command by its text; each must succeed."""
    outcomes = {}
    for words in section.commands():
        outcome = silicast(*words)
        assert outcome.status == 0, f"silicast {' '.join(words)}: {outcome.stderr}"
        outcomes[" ".join(words)] = outcome
    return outcomes


def as_json(*words: str) -> dict:
    outcome = silicast(*words, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_every_recipe_has_files_and_commands():
    assert set(RECIPES) == {
        "A device",
        "A model",
        "An operator",
        "A software stack",
        "A collective",
        "A policy",
        "A metric",
    }
    assert all(s.files() and s.commands() for s in RECIPES.values())


@use("A device")
def test_a_device_is_one_yaml(recipe: Section):
    assert len([p for p in recipe.files() if "prices" not in p]) == 1
    outcomes = run(recipe)
    assert outcomes["check profiles"].stdout.strip() == "clean"
    document = as_json("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm,my-gpu", "--set", "prices=my-quote")
    rows = {r["device"]: r for r in document["rows"]}
    assert rows["my-gpu"]["tpot_ms"] < rows["h200-sxm"]["tpot_ms"]  # a third more bandwidth
    assert rows["my-gpu"]["usd_per_device_hour"] == 2.10
    assert rows["my-gpu"]["error_band_pct"] > rows["h200-sxm"]["error_band_pct"]  # nobody measured it


@use("A model")
def test_a_model_is_one_yaml(recipe: Section):
    assert len(recipe.files()) == 1
    run(recipe)
    counts = as_json("show", "model", "my-moe")
    routed, shared = 22 * 64 * 3 * 2048 * 1024, 22 * 3 * 2048 * 2048
    attention = 24 * 2048 * 64 * (2 * 32 + 2 * 4)
    rest = 2 * 3 * 2048 * 8192 + 128256 * 2048 + 22 * 64 * 2048
    assert counts["total_params_b"] * 1e9 == pytest.approx(routed + shared + attention + rest, rel=1e-3)
    assert counts["kv_bytes_per_token"] == 24 * 2 * 4 * 64 * 2


@use("An operator")
def test_an_operator_is_one_file(recipe: Section):
    assert [p for p in recipe.files() if p.endswith(".py")] == ["simulator/ops/tanh_mul.py"]
    assert "TanhMul" in registry()
    outcomes = run(recipe)
    assert "act" in outcomes["explain tanh-chat"].stdout
    operators = {o["name"]: o for o in as_json("run", "tanh-chat")["operators"] if o["phase"] == "prefill"}
    traffic = 32 * 2048 * 3 * 14336 * 2  # layers x tokens x (gate, up, out) x width x bytes; far beyond L2
    assert operators["act"]["hbm_mb"] * 1e6 == pytest.approx(traffic, rel=0.05)  # the rest from L2


def test_an_added_operator_is_gone_with_its_file():
    assert "TanhMul" not in registry()


@use("A software stack")
def test_a_software_stack_is_one_folder(recipe: Section):
    outcomes = run(recipe)
    assert outcomes["check profiles"].stdout.strip() == "clean"
    assert "2 kernels, 3 figures, calls inhouse" in " ".join(outcomes["show runtime my-engine"].stdout.split())
    kernel = load_kernels("my-engine", "gemm").select("hopper", dtype="fp8_block")
    assert kernel.values["step_latency"] == pytest.approx(0.09e-6)
    assert load_kernels("my-engine", "moe").runtime == "vllm"
    ours, theirs = (
        as_json("run", "deepseek-v3.2-chat", "--set", f"runtime={r}")["ttft_ms"] for r in ("my-engine", "vllm")
    )
    assert ours != theirs


@use("A collective")
def test_a_collective_is_one_file(recipe: Section, tmp_path: Path):
    assert [p for p in recipe.files() if p.endswith(".py")] == ["simulator/fabric/halo_swap.py"]
    run(recipe)
    with (tmp_path / "halo-predicted.csv").open(newline="") as file:
        rows = {r["id"]: r for r in csv.DictReader(file)}
    assert all(not r["unsupported"] for r in rows.values())
    small, large, across = (float(rows[i]["predicted_us"]) for i in "abc")
    assert small < large < across
    gpu, system = load_device("h100-sxm"), load_system("hgx-h100")
    stack = collective_stack("nccl", gpu.vendor, gpu.architecture)
    cost = collective_cost(Collective("halo_swap", 2.0**26, 8), system, None, stack)
    assert cost.seconds * 1e6 == pytest.approx(large, rel=1e-4)
    assert cost.seconds >= 7 / 8 * 2.0**26 / system.scale_up.bandwidth


def test_a_collective_nobody_described_is_refused():
    gpu, system = load_device("h100-sxm"), load_system("hgx-h100")
    stack = collective_stack("nccl", gpu.vendor, gpu.architecture)
    with pytest.raises(ValueError, match=r"halo_swap.*all_reduce"):
        collective_cost(Collective("halo_swap", 1e6, 8), system, None, stack)


@use("A policy")
def test_a_policy_is_one_file(recipe: Section):
    assert len(recipe.files()) == 1
    outcomes = run(recipe)
    assert "least energy per output token within 60 ms" in next(iter(outcomes.values())).stdout
    names = "h200-sxm,b200-sxm,tpu-v7x"
    rows = as_json("compare", "deepseek-v3.2-chat", "--devices", names, "--rank-by", "energy_within_latency")["rows"]
    in_time = [r["j_per_output_tok"] for r in rows if r["fits"] and r["tpot_ms"] <= 60]
    assert in_time == sorted(in_time)
    assert len(rows) == 3


@use("A metric")
def test_a_metric_is_one_file(recipe: Section):
    assert len(recipe.files()) == 1
    run(recipe)
    row = as_json("run", "deepseek-v3.2-chat")
    assert row["output_tok_s_per_mw"] == pytest.approx(1e6 / row["j_per_output_tok"], rel=1e-9)


def test_a_policy_nobody_wrote_is_refused_with_the_known_ones():
    outcome = silicast("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm", "--rank-by", "latncy")
    assert outcome.status == 2
    assert len(outcome.lines) == 1
    assert "did you mean 'latency'" in outcome.stderr
    assert "output_price" in outcome.stderr
