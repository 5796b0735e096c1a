"""Accuracy tables: the maths on tiny tables, what a report may contain, and agreement with the published check."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator.profiles import ProfileError
from simulator.validation import accuracy, accuracy_regenerate
from simulator.validation.accuracy_report import print_accuracy, write_accuracy
from simulator.validation.accuracy_text import between_markers, label, markdown_headline
from tests.shared_data import SHARED, measurements

ROOT = Path(__file__).resolve().parents[2]


def gemm_table(us: list[float], predicted: list[float | None], **more: list[str]) -> pd.DataFrame:
    rows = {"id": [f"r{i}" for i in range(len(us))], "device": ["h100-sxm"] * len(us), "op": ["gemm"] * len(us)}
    rows |= {"dtype": ["bfloat16"] * len(us), "fw": ["trtllm-1.0"] * len(us), "kernel": ["torch_flow"] * len(us)}
    table = pd.DataFrame(rows | more).assign(us=[str(v) for v in us], predicted_us=predicted)
    return table.assign(fidelity="calibrated", unsupported="")


def compared(table: pd.DataFrame) -> pd.DataFrame:
    return accuracy.compare("kernels/gemm", "gemm", table)


def test_a_perfect_prediction_has_no_error():
    line = accuracy.summary(compared(gemm_table([10.0, 20.0], [10.0, 20.0]))["error"].to_numpy())
    assert line == {"rows": 2, "coverage": 1.0, "median": 0.0, "mean": 0.0, "p90": 0.0}


def test_a_row_not_predicted_lowers_the_coverage_and_is_never_right():
    rows = compared(gemm_table([10.0, 10.0, 10.0, 10.0], [11.0, None, 11.0, float("inf")]))
    line = accuracy.summary(rows["error"].to_numpy())
    assert (line["rows"], line["coverage"]) == (4, 0.5)
    assert line["median"] == pytest.approx(10.0)


def test_nothing_predicted_has_no_median():
    line = accuracy.summary(np.array([np.nan, np.nan]))
    assert line["coverage"] == 0.0
    assert np.isnan(line["median"])


def test_rows_without_a_measured_value_do_not_count():
    assert len(compared(gemm_table([10.0, 0.0, -3.0, float("nan")], [10.0] * 4))) == 1


def test_a_factor_of_two_is_named_as_it_is():
    rows = compared(gemm_table([10.0, 10.0], [20.0, 5.0]))
    assert rows["error"].tolist() == pytest.approx([1.0, 0.5])
    assert len(accuracy.worst_rows(rows, 1)) == 1


def test_groups_by_vendor_device_size_and_stack():
    devices = ["h100-sxm", "tpu-v6e", "ascend-910b2", "nobody-knows"]
    stacks = ["trtllm-1.0", "jax", "cann-9.0", "vllm-0.24"]
    rows = compared(gemm_table([5.0, 20.0, 199.0, 200.0], [5.0, 22.0, 199.0, 100.0], device=devices, fw=stacks))
    assert rows["vendor"].tolist() == ["GPU", "TPU", "Ascend", ""]
    assert rows["size"].tolist() == ["below 20 us", "20 to 200 us", "20 to 200 us", "above 200 us"]
    assert rows["stack"].tolist() == ["trtllm", "jax", "cann", "vllm"]
    tables = accuracy.tables_of(rows)
    by_size = dict(zip(tables["size"]["size"], tables["size"]["median"], strict=True))
    assert by_size["20 to 200 us"] == pytest.approx(5.0)
    assert list(by_size) == [name for name, _ in accuracy.SIZES]


def test_serving_first_tokens_marked_unfit_are_left_out():
    table = pd.DataFrame(
        {
            "device": ["h100-sxm"] * 2,
            "framework": ["vllm"] * 2,
            "ttft_ms": ["10", "10"],
            "ttft_ok": ["0", "1"],
            "tpot_ms": ["5", "5"],
            "predicted_ttft_ms": [10.0, 11.0],
            "predicted_tpot_ms": [5.0, 6.0],
        }
    )
    rows = accuracy.compare("serving", "serving", table)
    assert rows["metric"].tolist() == ["ttft_ms", "tpot_ms", "tpot_ms"]
    assert set(rows["size"]) == {""}


def test_worst_rows_count_either_direction():
    rows = compared(gemm_table([10.0, 10.0, 10.0], [11.0, 2.0, 40.0]))
    assert accuracy.worst_rows(rows, 2)["predicted"].tolist() == [2.0, 40.0]


@pytest.fixture
def small(tmp_path: Path) -> accuracy.Accuracy:
    """Two real predictions with made-up measurements of a recognisable value."""
    file = tmp_path / "gemm.csv"
    head = "id,device,op,dtype,m,n,k,tag,us,fw,kernel,mode,note,src,unit\n"
    row = "{},{},gemm,bfloat16,4096,4096,4096,,{},{},,graph,,x,chip\n"
    file.write_text(
        head + row.format("a", "h100-sxm", 219.731, "trtllm-1.0") + row.format("b", "tpu-v6e", 187.319, "jax")
    )
    return accuracy.validate_files([file])


def test_the_report_stands_alone_and_holds_no_measured_value(small: accuracy.Accuracy, tmp_path: Path):
    out = tmp_path / "out"
    write_accuracy(small, out)
    assert {p.name for p in out.iterdir()} == {"index.html", "README.md", "accuracy.csv", "worst-rows.csv"}
    for path in out.iterdir():
        text = path.read_text()
        assert "219.73" not in text, path.name
        assert "187.31" not in text, path.name
    page = (out / "index.html").read_text()
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "<svg" in page


def test_printed_formats(small: accuracy.Accuracy, capsys: pytest.CaptureFixture[str]):
    print_accuracy(small, "json")
    document = json.loads(capsys.readouterr().out)
    assert document["by"]["all"][0]["rows"] == 2
    print_accuracy(small, "csv")
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["by"] for line in lines} == {"all", "vendor", "device", "size", "stack", "kernel"}
    print_accuracy(small, "table")
    assert "Error by device" in capsys.readouterr().out


def test_the_bound_of_a_gpu_row_is_named(small: accuracy.Accuracy):
    from simulator.validation.accuracy_bound import bounds

    (unit, _) = bounds("gemm", small.tables["gemm"])
    assert unit


def test_an_empty_folder_is_an_error(tmp_path: Path):
    with pytest.raises(ProfileError):
        accuracy.validate_files([tmp_path])


def test_markers_are_filled_and_only_they():
    text = "before\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nafter\n"
    assert between_markers(text, "new") == "before\n<!-- accuracy -->\nnew\n<!-- /accuracy -->\nafter\n"
    assert between_markers("no markers", "new") == "no markers"


def test_the_readme_shows_the_committed_table():
    """README.md and reports/accuracy/README.md carry the medians of reports/accuracy/accuracy.csv."""
    table = ROOT / "reports" / "accuracy" / "accuracy.csv"
    if not table.is_file():
        pytest.skip("no accuracy report in this checkout")
    rows = csv.DictReader(table.read_text().splitlines())
    lines = [r for r in rows if r["by"] == "all" and float(r["coverage"]) > 0]
    assert lines
    for readme in (ROOT / "README.md", table.parent / "README.md"):
        shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.read_text().splitlines()]
        medians = {cells[0]: cells[4] for cells in shown if len(cells) == 9}
        for line in lines:
            found = medians[label(line["family"], line["metric"])]
            assert float(found.rstrip("%")) == pytest.approx(float(line["median"]), abs=0.06), (readme.name, line)


def test_the_headline_leaves_out_what_is_not_predicted():
    rows = compared(gemm_table([10.0], [None]))
    assert "gemm" not in markdown_headline(rows)


def test_summary_agrees_with_the_published_check():
    path = SHARED / "checks" / "accuracy.py"
    if not path.is_file():
        pytest.skip("the published check is not beside this checkout (set SILICAST_SHARED)")
    spec = importlib.util.spec_from_file_location("published_check", path)
    assert spec is not None
    assert spec.loader is not None
    check: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check)
    errors = np.random.default_rng(3).lognormal(-3, 1, size=137)
    theirs = check.summary(errors.tolist(), 150)
    ours = accuracy.summary(np.concatenate([errors, np.full(13, np.nan)]))
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize(
    "family",
    [
        "gemm",
        "grouped_gemm",
        "moe",
        "attention",
        "mla",
        "dsa",
        "elementwise",
        "collectives",
        "deepep",
        "link",
        "memcpy",
    ],
)
def test_published_rows_stay_within_the_targets(family: str):
    file = measurements() / "kernels" / f"{family}.csv"
    targets = json.loads((SHARED / "checks" / "targets.json").read_text())[f"kernels/{family}:us"]
    line = accuracy.summary(accuracy.validate_files([file]).rows["error"].to_numpy())
    assert line["coverage"] >= targets["coverage"]
    assert line["median"] <= targets["median"]
    assert line["p90"] <= targets["p90"]


def test_measurements_are_found_beside_the_checkout_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Not beside an installed package: that has no neighbours."""
    monkeypatch.delenv(accuracy_regenerate.ENVIRONMENT, raising=False)
    (tmp_path / "shared" / "measurements").mkdir(parents=True)
    assert accuracy_regenerate.measurements(tmp_path / "checkout") == tmp_path / "shared" / "measurements"
    assert accuracy_regenerate.measurements(tmp_path / "shared" / "checkout") is None
    said: list[str] = []
    accuracy_regenerate.regenerate_left_out(tmp_path / "elsewhere" / "checkout" / "reports" / "accuracy", said.append)
    assert said == ["skipped: the published measurements are not beside this checkout (set SILICAST_SHARED)"]
