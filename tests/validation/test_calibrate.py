"""Calibration: it improves what was spoiled, judges itself on unseen rows, and what is left out stays out."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.profiles import ProfileError, kernel_file, search
from simulator.profiles.extends import resolve
from simulator.profiles.figures import lift
from simulator.validation.calibrate import calibrate_device, fragment, held_fold
from simulator.validation.calibrate_fabric import fit_links
from simulator.validation.calibrate_gpu import fit_matrix
from simulator.validation.calibrate_npu import fit_tpu
from simulator.validation.calibrate_result import FittedFigure, Slot, Split, errors_of, fitted_figure, with_unknown
from simulator.validation.fit.places import calibrated_keys
from simulator.validation.fit.trial import Trial
from simulator.validation.leave_one_out import CASES, DEVICE, GENERATION, table
from simulator.validation.leave_one_out_rules import new_generation
from simulator.validation.predict import link
from tests.shared_data import measurements

FEW = ("gemm", "memcpy")


def copied(target: Path, families: tuple[str, ...], factor_of: str = "", factor: float = 1.0) -> Path:
    """A measurement folder with some families; times of device ``factor_of`` multiplied by ``factor``."""
    (target / "kernels").mkdir(parents=True)
    for family in families:
        rows = pd.read_csv(measurements() / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
        chosen = rows["device"].eq(factor_of)
        rows.loc[chosen, "us"] = [str(float(us) * factor) for us in rows.loc[chosen, "us"]]
        rows.to_csv(target / "kernels" / f"{family}.csv", index=False)
    return target


def without(device: str) -> Split:
    return Split(lambda rows: rows["device"].eq(device).to_numpy(dtype=bool))


def test_a_device_left_out_stays_out(tmp_path: Path):
    """Tenfold times of the device that is left out change no prediction of it."""
    honest = fit_tpu(copied(tmp_path / "a", FEW), without("tpu-v6e")).scores
    spoiled = fit_tpu(copied(tmp_path / "b", FEW, "tpu-v6e", 10.0), without("tpu-v6e")).scores
    assert len(honest) > 20
    assert spoiled["predicted"].tolist() == pytest.approx(honest["predicted"].tolist(), rel=1e-12)


def test_a_gpu_left_out_stays_out(tmp_path: Path):
    honest = fit_matrix(copied(tmp_path / "a", ("grouped_gemm",)), without("h800-sxm"), rounds=2).scores
    spoiled = fit_matrix(
        copied(tmp_path / "b", ("grouped_gemm",), "h800-sxm", 10.0), without("h800-sxm"), rounds=2
    ).scores
    assert spoiled["predicted"].tolist() == pytest.approx(honest["predicted"].tolist(), rel=1e-12)


def test_a_fit_follows_what_it_sees(tmp_path: Path):
    """If every time were 1.3 times as long, a fit comes closer to the rows it does not see than the shipped values are."""
    folder = copied(tmp_path, ("gemm",), "tpu-v6e", 1.3)
    split = Split(lambda rows: held_fold(rows, ["tpu-v6e"]))
    scores = fit_tpu(folder, split).scores
    assert len(scores)
    assert np.median(errors_of(scores)) < np.median(errors_of(scores, "before"))


def test_calibrate_prints_before_and_after_and_writes_a_fragment(tmp_path: Path):
    out = tmp_path / "calibrated.yaml"
    lines = list(calibrate_device("tpu-v6e", copied(tmp_path / "m", FEW), out))
    assert "held out" in lines[0]
    assert any(line.startswith("gemm") for line in lines)
    root, _ = resolve(out)
    data, figures, faults = lift(root)
    assert not faults
    assert figures
    assert all(f.kind == "calibrated" and f.rows > 0 for f in figures.values())
    assert "efficiencies.mxu" in next(v for k, v in data["figures"].items() if k.endswith("v6.yaml"))


@pytest.mark.parametrize("device", ["h100-sxm", "tpu-v6e"])
def test_no_measurements_are_one_clear_error(device: str, tmp_path: Path):
    with pytest.raises(ProfileError, match="kernel tables"):
        list(calibrate_device(device, tmp_path, tmp_path / "out.yaml"))
    assert not (tmp_path / "out.yaml").exists()


def test_a_device_nobody_measured_is_one_clear_error(tmp_path: Path):
    folder = tmp_path / "m"
    (folder / "kernels").mkdir(parents=True)
    shutil.copy(measurements() / "kernels" / "memcpy.csv", folder / "kernels")
    with pytest.raises(ProfileError, match="no row of a device of architecture"):
        list(calibrate_device("l40s", folder, tmp_path / "out.yaml"))


def test_the_held_fold_is_a_fifth_and_does_not_depend_on_measured_values():
    rows = pd.DataFrame({"id": range(2000), "device": "x", "m": range(2000), "us": 1.0}).astype(str)
    fold = held_fold(rows, ["x"])
    assert 0.15 < fold.mean() < 0.25
    assert (held_fold(rows.assign(us="9", id="z"), ["x"]) == fold).all()
    assert not held_fold(rows, ["y"]).any()


def test_unknown_values_come_from_the_nearest_kin():
    slots = {("f", i): Slot("rate" if i < 9 else "lonely", 7.0) for i in range(10)}
    wanted = {("f", 4): slots["f", 4], ("f", 9): slots["f", 9]}
    found = with_unknown({}, wanted, slots | {("g", 4): Slot("rate", 900.0)}, lambda k: k, lambda slot: None)
    assert found == {("f", 4): pytest.approx(7.0)}
    found = with_unknown({("f", 3): 2.0, ("f", 5): 8.0}, wanted, {**slots}, lambda k: k, lambda slot: None)
    assert found["f", 4] == pytest.approx(4.0)
    assert with_unknown({}, wanted, slots, lambda k: k, lambda slot: 1.5)["f", 9] == 1.5


def test_a_new_generation_keeps_its_floors_and_scales_its_feeds():
    unknown = new_generation("b200-sxm", "h100-sxm")
    from simulator.profiles import load_device

    hopper = load_device("h100-sxm").efficiencies
    assert unknown(Slot("launch_floor", 3e-6)) == 3e-6
    assert unknown(Slot("tensor_16bit", 0.1, "blackwell")) == hopper.tensor_16bit
    assert unknown(Slot("operand_feed", 0.1, "blackwell")) == pytest.approx(2 * hopper.operand_feed)
    assert unknown(Slot("step_latency", 1e-7)) is None


def test_cases_name_what_stays():
    assert {c.kind for c in CASES} == {DEVICE, GENERATION}
    for case in CASES:
        assert not set(case.devices) & set(case.stand_in.split(", "))


def test_the_table_counts_lonely_rows_apart():
    scores = pd.DataFrame({"measured": [1.0] * 4, "before": [1.0] * 4, "predicted": [1.1, 1.1, 1.1, 9.0]})
    scores = scores.assign(family="gemm", kind=DEVICE, left_out="x", stand_in="y", known=[True] * 3 + [False])
    pooled, case = table([scores])
    assert (pooled["left_out"], pooled["rows"], pooled["alone"], pooled["median"]) == ("all", 3, 1, 10.0)
    assert case["left_out"] == "x"


def test_fragments_name_file_place_and_rows():
    text = fragment("d", "arch", ["d"], [FittedFigure("/x/f.yaml", "efficiencies.hbm", "", 0.8, 0.9123456, 12)])
    assert '"efficiencies.hbm": {value: "0.9123", kind: calibrated, source: fit, rows: 12}' in text


def test_a_shared_value_is_named_where_it_stands():
    path = search.bundled() / "workloads" / "runtimes" / "vllm" / "moe.yaml"
    figure = kernel_file.figures_in(path)["kernels.0.values.launch_floor"]
    assert fitted_figure(figure, "launch_floor", 2e-5, 9).place == "shared.launch"


def test_the_issue_cost_of_a_slower_path_is_found(tmp_path: Path):
    facts = {"device": "ascend-910b3", "scope": "node", "transport": "HCCS", "direction": "rD2D", "fw": "hixl"}
    blocks = [2**n for n in range(9, 23)]
    rows = pd.DataFrame({"block_bytes": blocks, "total_bytes": [2**27] * len(blocks)}).astype(str)
    rows = rows.assign(**facts, op="p2p", kernel="hixl_cs")
    case = link.case_of({**facts, "kernel": "hixl_cs"}, rows)
    (slot,) = {key for key in calibrated_keys("hixl/link") if key.name == "issue" and key.entry == 0}
    slower = Trial({slot: 2.0 * calibrated_keys("hixl/link")[slot]})
    seconds = replace(case, table=slower.table(case.table)).seconds()
    (tmp_path / "kernels").mkdir()
    rows.assign(id=[f"r{i}" for i in range(len(rows))], us=seconds * 1e6).to_csv(tmp_path / "kernels" / "link.csv")
    every_fourth = Split(lambda table: np.arange(len(table)) % 4 == 0)
    result = fit_links(tmp_path, every_fourth)
    (figure,) = [f for f in result.figures if f.place == "shared.device_issue"]
    assert figure.value / figure.before == pytest.approx(2.0, rel=0.01)
    assert errors_of(result.scores).max() < 0.01 < errors_of(result.scores, "before").max()
