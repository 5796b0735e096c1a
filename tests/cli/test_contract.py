"""The JSON contract of the command line: names and units that programs rely on."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest

from simulator.report.trace_check import check_trace
from tests.cli.command import silicast

ROW = {
    "device",
    "system",
    "num_devices",
    "fits",
    "ttft_ms",
    "tpot_ms",
    "output_tok_s_per_dev",
    "input_tok_s_per_dev",
    "j_per_output_tok",
    "usd_per_mtok_input",
    "usd_per_mtok_output",
    "cost_basis",
    "power_w_per_dev",
    "bound",
    "fidelity",
    "error_band_pct",
}


def document(*arguments: str):
    outcome = silicast(*arguments, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def compared():
    return document("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm,b200-sxm,tpu-v7x,ascend-910c")


def test_run_gives_one_row_and_its_operators():
    row = document("run", "deepseek-v3.2-chat")
    assert set(row) >= ROW | {"operators"}
    assert {o["phase"] for o in row["operators"]} == {"prefill", "decode"}


def test_compare_ranks_by_cost_of_an_output_token(compared):
    rows = compared["rows"]
    assert {r["device"] for r in rows} == {"h200-sxm", "b200-sxm", "tpu-v7x", "ascend-910c"}
    prices = [r["usd_per_mtok_output"] for r in rows if r["fits"]]
    assert prices == sorted(prices)
    assert all(set(r) >= ROW for r in rows)


def test_compared_figures_are_consistent(compared):
    for r in compared["rows"]:
        usd = r["usd_per_device_hour"] / 3600 / r["output_tok_s_per_dev"] * 1e6
        assert r["usd_per_mtok_output"] == pytest.approx(usd, rel=1e-9)
        assert r["power_w_per_dev"] / r["output_tok_s_per_dev"] == pytest.approx(r["j_per_output_tok"], rel=1e-9)


def test_compare_keeps_the_work(compared):
    """The requests of a step are the same everywhere, so tokens per step agree."""
    totals = {round(r["output_tok_s_per_dev"] * r["num_devices"] * r["tpot_ms"] / 1e3) for r in compared["rows"]}
    assert totals == {256}


def test_a_device_that_cannot_hold_the_model_gets_the_fewest_that_can():
    rows = document("compare", "deepseek-v3.2-chat", "--devices", "tpu-v5e,ascend-910c,h200-sxm")["rows"]
    by = {r["device"]: r for r in rows}
    assert all(r["fits"] and r["bound"] for r in rows)
    assert by["h200-sxm"]["num_devices"] == by["h200-sxm"]["asked_num_devices"] == 8
    assert by["ascend-910c"]["num_devices"] > by["ascend-910c"]["asked_num_devices"] == 16  # dies, two a package
    assert by["tpu-v5e"]["num_devices"] == 128  # 16 GB each; 64 would hold 942 GB of 1,344 GB of 16-bit weights
    assert "tp" in by["tpu-v5e"]["parallel"]  # attention weights alone exceed a chip
    text = silicast("compare", "deepseek-v3.2-chat", "--devices", "ascend-910c").stdout
    assert "from 32" in text


def test_sweep_is_the_same_as_single_runs():
    swept = document("sweep", "deepseek-v3.2-chat", "--axis", "context=2048,8192", "--axis", "batch=16,32")
    assert [(r["context"], r["batch"]) for r in swept["rows"]] == [
        ("2048", "16"),
        ("2048", "32"),
        ("8192", "16"),
        ("8192", "32"),
    ]
    one = document("run", "deepseek-v3.2-chat", "--set", "context=8192", "--set", "batch=16")
    assert swept["rows"][2]["tpot_ms"] == pytest.approx(one["tpot_ms"], rel=1e-9)
    assert swept["rows"][2]["usd_per_mtok_output"] == pytest.approx(one["usd_per_mtok_output"], rel=1e-9)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        assert silicast("run", "deepseek-v3.2-chat", "--out", str(tmp_path / name)).status == 0
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["config.resolved.yaml", "report.html", "result.json", "summary.csv", "trace.json.gz"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_the_trace_obeys_perfettos_rules(tmp_path: Path):
    assert silicast("run", "deepseek-v3-prefill-ep32", "--out", str(tmp_path)).status == 0
    with gzip.open(tmp_path / "trace.json.gz", "rt") as file:
        trace = json.load(file)
    assert check_trace(trace) == []
    names = {e["args"]["name"] for e in trace["traceEvents"] if e["ph"] == "M" and e["name"] == "thread_name"}
    assert any("compute" in n for n in names)
    assert any("comm" in n for n in names)
    assert {"X", "s", "f", "C"} <= {e["ph"] for e in trace["traceEvents"]}


def test_the_report_is_self_contained(tmp_path: Path):
    assert silicast("run", "deepseek-v3.2-chat", "--out", str(tmp_path)).status == 0
    html = (tmp_path / "report.html").read_text()
    assert html.count("<svg") >= 8
    assert "src=" not in html
    assert "http://" not in html.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_the_page_of_a_comparison_stands_alone_and_names_every_device(tmp_path: Path):
    words = ("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm,tpu-v7x,ascend-910a", "--out")
    for name in ("a", "b"):
        assert silicast(*words, str(tmp_path / name)).status == 0
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert files == ["comparison.csv", "comparison.html", "comparison.json"]
    page = (tmp_path / "a" / "comparison.html").read_text()
    assert page == (tmp_path / "b" / "comparison.html").read_text()
    assert all(device in page for device in ("h200-sxm", "tpu-v7x", "ascend-910a"))
    assert page.count("<svg") == 3  # measures, prefill, decode
    assert "src=" not in page
    assert "no price on the basis" in page


def test_csv_output_is_a_table():
    outcome = silicast("compare", "deepseek-v3.2-chat", "--devices", "h200-sxm", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    assert len(rows) == 1
    assert set(rows[0]) >= ROW


def test_more_bandwidth_is_never_slower():
    base = document("run", "deepseek-v3.2-chat")
    faster = document("run", "deepseek-v3.2-chat", "--set", "device.memory.bandwidth=9.6 TB/s")
    assert faster["tpot_ms"] < base["tpot_ms"]
    assert faster["ttft_ms"] <= base["ttft_ms"]


def test_step_time_is_the_sum_of_its_critical_path():
    row = document("run", "deepseek-v3.2-chat")
    for phase in row["phases"].values():
        assert sum(phase["critical_path_ms"].values()) == pytest.approx(phase["step_ms"], rel=1e-6)


def test_list_and_show_name_every_kind():
    listed = document("list")
    assert "deepseek-v3.2-chat" in listed["scenario"]
    figures = document("show", "device", "h100-sxm")["figures"]
    assert all(f["kind"] and f["source"] for f in figures)
    model = document("show", "model", "deepseek-v3.2")
    assert set(model) >= {
        "total_params_b",
        "active_params_b",
        "linear_gflop_per_token",
        "kv_bytes_per_token",
        "kv_format",
    }
