"""Matrix-work families on NVIDIA rows: errors on published rows, coverage, and what must not steer a prediction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulator.profiles import list_names, load_device
from simulator.profiles.gpu import Gpu
from simulator.validation.predict import gemm, grouped_gemm, moe
from tests.shared_data import measurements

FAMILIES = {"gemm": gemm, "grouped_gemm": grouped_gemm, "moe": moe}
# median and 90th percentile in percent that the published rows must keep
LIMITS = {"gemm": (6.5, 24.0), "grouped_gemm": (8.0, 25.0), "moe": (9.0, 32.0)}


def _rows(family: str) -> pd.DataFrame:
    table = pd.read_csv(measurements() / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
    return table[~table.device.str.startswith(("tpu", "ascend"))].reset_index(drop=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_published_rows_are_covered_within_the_limits(family: str) -> None:
    rows = _rows(family)
    prediction = FAMILIES[family].predict(rows.drop(columns=["us"]))
    error = np.abs(prediction.us / rows["us"].astype(float).to_numpy() - 1.0) * 100
    assert np.isfinite(error).mean() >= 0.98
    median, p90 = LIMITS[family]
    assert np.nanmedian(error) <= median
    assert np.nanquantile(error, 0.9) <= p90


@pytest.mark.parametrize("family", FAMILIES)
def test_identity_tag_source_and_version_do_not_steer(family: str) -> None:
    rows = _rows(family).sample(40, random_state=1).reset_index(drop=True)
    before = FAMILIES[family].predict(rows).us
    changed = rows.assign(id="x", tag="y", src="z", us="1", fw=[f.split("-")[0] + "-99.9" for f in rows["fw"]])
    assert np.array_equal(before, FAMILIES[family].predict(changed).us)


@pytest.mark.parametrize("family", FAMILIES)
def test_row_order_and_company_do_not_matter(family: str) -> None:
    rows = _rows(family).sample(30, random_state=2)
    together = FAMILIES[family].predict(rows.reset_index(drop=True)).us
    backwards = FAMILIES[family].predict(rows[::-1].reset_index(drop=True)).us[::-1]
    alone = FAMILIES[family].predict(rows.iloc[:1].reset_index(drop=True)).us
    assert np.allclose(together, backwards, rtol=1e-12)
    assert np.isclose(together[0], alone[0], rtol=1e-12)


GPUS = sorted(n for n in list_names("device") if isinstance(load_device(n), Gpu))


@pytest.mark.parametrize("device", GPUS)
def test_every_gpu_profile_is_predicted_without_rows(device: str) -> None:
    rows = pd.DataFrame(
        {
            "device": device,
            "m": ["1", "4096", "4096"],
            "n": "4096",
            "k": "7168",
            "dtype": ["bfloat16", "bfloat16", "fp8_block"],
            "fw": ["trtllm-1", "vllm-2", "a_stack_nobody_described"],
            "kernel": "new",
            "mode": "graph",
            "note": "",
        }
    )
    prediction = gemm.predict(rows)
    assert np.isfinite(prediction.us).all()
    assert prediction.us[1] > prediction.us[0]
    assert prediction.fidelity[2] == "estimated"


def test_unknown_devices_and_formats_say_why() -> None:
    rows = pd.DataFrame(
        {
            "device": ["h900", "h100-sxm", "h100-sxm"],
            "m": ["8", "8", "many"],
            "n": "8",
            "k": "8",
            "dtype": ["bfloat16", "int3", "bfloat16"],
            "fw": "vllm",
        }
    )
    prediction = gemm.predict(rows)
    assert np.isnan(prediction.us).all()
    assert "h900" in prediction.unsupported[0]
    assert "int3" in prediction.unsupported[1]
    assert "numbers" in prediction.unsupported[2]
