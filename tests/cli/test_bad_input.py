"""Bad input ends in one clear line on stderr and exit status 2, and nothing half-written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.command import silicast

SCENARIO = """
name: mine
model: deepseek-v3.2
system: hgx-h200
runtime: sglang
num_devices: 8
parallel: {dp: 8, ep: 8}
phases:
  decode: {batch: 32, context: 4096}
"""

DEVICE = """
extends: h100-sxm
name: mine
sources: {me: "a made-up device"}
memory:
  bandwidth: {value: %s, kind: estimated, source: me}
"""


def one_line(outcome, *words: str) -> None:
    assert outcome.status == 2, outcome.stderr
    assert len(outcome.lines) == 1, outcome.stderr
    assert "Traceback" not in outcome.stderr
    for word in words:
        assert word in outcome.lines[0], outcome.lines[0]


@pytest.fixture
def scenario(tmp_path: Path):
    def write(text: str = SCENARIO, name: str = "mine.yaml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def device(tmp_path: Path):
    def write(bandwidth: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(DEVICE % bandwidth)
        return str(path)

    return write


def test_unit_missing(device):
    one_line(silicast("show", "device", device('"3350"')), "memory.bandwidth", "mine.yaml:6")


def test_wrong_dimension(device):
    one_line(silicast("show", "device", device("3350 GB")), "memory.bandwidth", "B/s")


def test_binary_prefix_where_decimal_is_meant(device):
    one_line(silicast("show", "device", device("3.35 TiB/s")), "memory.bandwidth", "TB/s")


def test_negative(device):
    one_line(silicast("show", "device", device("-3 TB/s")), "memory.bandwidth")


def test_not_a_number(device):
    one_line(silicast("show", "device", device("nan TB/s")), "memory.bandwidth")


def test_list_for_a_scalar(device):
    one_line(silicast("show", "device", device("[3, 4]")), "memory.bandwidth")


def test_unknown_device():
    one_line(silicast("compare", "deepseek-v3.2-chat", "--devices", "h2000"), "h2000", "h200-sxm")


def test_unknown_scenario_suggests_a_close_one():
    one_line(silicast("run", "deepseek-v3.2-chatt"), "deepseek-v3.2-chat")


def test_misspelt_key(scenario):
    one_line(silicast("run", scenario(SCENARIO.replace("runtime:", "runtme:"))), "runtme", "runtime")


def test_cyclic_extends(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("extends: b\nname: a\n")
    (tmp_path / "b.yaml").write_text("extends: a\nname: b\n")
    one_line(silicast("show", "device", str(tmp_path / "a.yaml")), "extends")


def test_tensor_parallel_does_not_divide_heads():
    changes = ("model=llama-3.1-70b", "tp=3", "dp=1", "ep=1", "num_devices=3")
    outcome = silicast("run", "deepseek-v3.2-chat", *[o for c in changes for o in ("--set", c)])
    one_line(outcome, "tp=3", "64")


def test_expert_parallel_larger_than_experts():
    changes = ("num_devices=512", "dp=512", "ep=512")
    options = [o for c in changes for o in ("--set", c)]
    one_line(silicast("run", "deepseek-v3.2-chat", "--set", "system=gb200-nvl72", *options), "512", "256")


MIXED = "\n  mixed: {decode: {batch: 32, context: 4096}, prefill: {batch: 1, tokens: 2048, prefix_len: 4096}}"


def test_a_mixed_step_runs(scenario):
    assert silicast("run", scenario(SCENARIO + MIXED), "--format", "json").status == 0


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tokens: 2048", "tokens: 0", ("mine.yaml:11", "phases.mixed.prefill.tokens", "at least 1, not 0")),
        ("tokens: 2048", "tokens: 2 K", ("mine.yaml:11", "phases.mixed.prefill.tokens", "'2 K'", "a whole number")),
        ("tokens: 2048, ", "", ("mine.yaml:11", "phases.mixed.prefill.tokens", "missing")),
        ("tokens: 2048", "token: 2048", ("phases.mixed.prefill.token", "did you mean 'tokens'")),
        ("prefix_len: 4096", "prefix_len: -1", ("mine.yaml:11", "phases.mixed.prefill.prefix_len", "-1")),
        (
            "context: 4096}, prefill",
            "context: 4096, parallel: {tp: 8}}, prefill",
            ("phases.mixed.decode", "one layout"),
        ),
    ],
)
def test_a_wrong_mixed_step(scenario, old, new, words):
    one_line(silicast("run", scenario((SCENARIO + MIXED).replace(old, new))), *words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("  prefill: {batch: 1, isl: 4096, chunk: 0}", ("mine.yaml:10", "phases.prefill.chunk", "at least 1, not 0")),
        ("  prefill: {batch: 1, isl: 4096, chunk: half}", ("mine.yaml:10", "phases.prefill.chunk", "a whole number")),
        (
            "speculative: {num_speculative_tokens: 2}",
            ("mine.yaml:10", "speculative", "acceptance_length or acceptance_rate"),
        ),
        (
            "speculative: {num_speculative_tokens: 2, acceptance_length: 2, acceptance_rate: 0.5}",
            ("mine.yaml:10", "speculative.acceptance_rate", "give one of the two"),
        ),
        (
            "speculative: {num_speculative_tokens: 2, acceptance_rate: 80}",
            ("mine.yaml:10", "speculative.acceptance_rate", "0 .. 1", "80"),
        ),
    ],
)
def test_wrong_chunks_and_speculation(scenario, line, words):
    one_line(silicast("run", scenario(SCENARIO + line)), *words)


def test_empty_file(scenario):
    one_line(silicast("run", scenario("")), "mine.yaml")


def test_a_directory(tmp_path: Path):
    one_line(silicast("run", str(tmp_path)), str(tmp_path.name))


def test_yaml_bomb(scenario):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for i, letter in enumerate("bcdefghij"):
        bomb += f"{letter}: &{letter} [{', '.join(['*' + 'abcdefghi'[i]] * 9)}]\n"
    one_line(silicast("run", scenario(bomb)), "mine.yaml")


def test_ten_megabytes_of_garbage(tmp_path: Path):
    path = tmp_path / "garbage.yaml"
    path.write_bytes(b"{" * 10_000_000)
    one_line(silicast("run", str(path)), "garbage.yaml")


def test_not_utf8(tmp_path: Path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: ma\xeft\n".encode("latin-1"))
    one_line(silicast("run", str(path)), "latin.yaml")


def test_duplicate_keys(scenario):
    one_line(silicast("run", scenario(SCENARIO + "runtime: vllm\n")), "runtime", "mine.yaml")


def test_unwritable_out(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    one_line(silicast("run", "deepseek-v3.2-chat", "--out", str(blocked / "sub")), "--out")


def test_predict_without_needed_columns(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text("id,device,op,m,n\n1,h100-sxm,gemm,1,2\n")
    one_line(silicast("predict", str(table), "--out", str(tmp_path / "out.csv")), "dtype", "k")
    assert os.listdir(tmp_path) == ["table.csv"]


def test_bad_override():
    one_line(silicast("run", "deepseek-v3.2-chat", "--set", "decode.batch"), "--set")


def test_unknown_format():
    one_line(silicast("list", "--format", "xml"), "xml", "json")


TOO_SMALL = ("--set", "num_devices=2", "--set", "dp=2", "--set", "ep=2")


def test_a_model_that_does_not_fit_says_how_many_devices_would():
    one_line(silicast("run", "deepseek-v3.2-chat", *TOO_SMALL), "does not fit", "8 devices")


def test_a_model_that_does_not_fit_can_be_simulated_on_request():
    outcome = silicast("run", "deepseek-v3.2-chat", *TOO_SMALL, "--ignore-memory")
    assert outcome.status == 0
    assert "TPOT" in outcome.stdout
