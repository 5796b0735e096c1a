"""Error bands: what they rest on, and that unknown ground is never shown as firmer than known ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.profiles import list_names, load_device
from simulator.profiles.error_bands import Band, ErrorBands, load_error_bands
from simulator.profiles.load import load_as
from simulator.study.error_band import SIZE_CLASSES, band_pct
from simulator.validation.accuracy_bands import FEWEST, bands_text, two_thirds, widening


def rows_of(device: str, vendor: str, errors: np.ndarray, predicted: float = 50.0) -> pd.DataFrame:
    return pd.DataFrame(
        {"family": "gemm", "metric": "us", "device": device, "vendor": vendor, "error": errors, "predicted": predicted}
    )


def test_every_cell_says_how_many_rows_it_rests_on():
    cells = [c for vendors in load_error_bands().bands.values() for sizes in vendors.values() for c in sizes.values()]
    assert cells
    assert all(cell.rows >= FEWEST and cell.percent > 0 for cell in cells)


def test_unknown_ground_is_wider():
    bands = load_error_bands()
    assert 1.0 < bands.new_device <= bands.new_generation
    assert 1.0 < bands.derived <= bands.estimated


@pytest.mark.parametrize("device", [d for d in list_names("device") if d not in load_error_bands().measured_devices])
def test_a_device_without_rows_has_a_wider_band_than_a_sister_with_rows(device: str):
    bands, profile = load_error_bands(), load_device(device)
    for family in ("gemm", "attention", "collectives"):
        sisters = [load_device(d) for d in bands.measured[family].devices if load_device(d).vendor == profile.vendor]
        for seconds in (1e-5, 1e-4, 1e-3):
            known = max((band_pct(family, s, "calibrated", seconds) for s in sisters), default=0.0)
            assert band_pct(family, profile, "calibrated", seconds) > known


def test_a_family_without_rows_of_a_vendor_takes_the_widest_cell_and_widens_it():
    cell = {"to_200us": Band(8.0, 100), "above_200us": Band(6.0, 100)}
    steps = {"nvidia": Band(17.0, 900), "huawei": Band(40.0, 20)}
    bands = ErrorBands("x", {"gemm": {"nvidia": cell}}, {}, 1.3, 2.0, 1.5, 2.5, 25.0, steps)
    assert bands.of("gemm", "nvidia", "to_200us") == 8.0
    assert bands.of("gemm", "nvidia", "below_20us") == 8.0
    assert bands.of("gemm", "google", "to_200us") == 16.0
    assert bands.of("unheard-of", "nvidia", "to_200us") == 25.0
    assert bands.of_step("nvidia") == 17.0
    assert bands.of_step("google") == 40.0


def test_two_thirds_of_the_rows_stay_below_the_band():
    errors = np.random.default_rng(0).lognormal(-3, 1, 3000)
    assert (errors * 100 < two_thirds(errors)).mean() == pytest.approx(2 / 3, abs=0.01)


def test_few_good_rows_do_not_make_a_narrow_band():
    good, many = rows_of("tpu-v6e", "TPU", np.full(12, 0.001)), rows_of("h100-sxm", "GPU", np.full(900, 0.10))
    text = bands_text(pd.concat([good, many]), [])
    assert 'google: {to_200us: {percent: "6.' in text
    assert 'nvidia: {to_200us: {percent: "10.0", rows: 900}' in text


def test_the_written_file_reads_back(tmp_path: Path):
    rows = pd.concat(
        [rows_of("h100-sxm", "GPU", np.linspace(0.01, 0.3, 30)), rows_of("tpu-v6e", "TPU", np.full(3, 0.1))]
    )
    line = {"kind": "device", "left_out": "h100-sxm", "rows": 400, "median": 8.0, "seen": 5.0}
    path = tmp_path / "error-bands.yaml"
    path.write_text(bands_text(rows, [line]))
    found = load_as(ErrorBands, path, sourced=False)
    assert found.bands["gemm"]["nvidia"]["to_200us"] == Band(19.9, 30)
    assert "google" not in found.bands["gemm"]  # three rows carry no band
    assert found.new_device == pytest.approx(1.6)
    assert found.measured_devices == ("h100-sxm", "tpu-v6e")
    assert found.ground("gemm", "h100-sxm", "hopper") == "device"
    assert found.ground("gemm", "h20", "hopper") == "generation"
    assert found.ground("attention", "h100-sxm", "hopper") == "none"


def test_a_fit_that_saw_the_rows_cannot_narrow_a_band():
    line = {"kind": "device", "left_out": "x", "rows": 400, "median": 4.0, "seen": 5.0}
    assert widening([line])["new_device"] > 1.0


def test_size_classes_are_those_of_the_forecast():
    names = {name for _, name in SIZE_CLASSES} | {"any"}
    cells = load_error_bands().bands.values()
    assert {size for vendors in cells for sizes in vendors.values() for size in sizes} <= names
