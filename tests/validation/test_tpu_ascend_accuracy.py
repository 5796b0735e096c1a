"""Error of the TPU and Ascend rows of the published tables, judged apart from NVIDIA's."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pytest

from simulator.validation.predict.table import MEASURED
from tests.shared_data import measurements

# family -> (median, 90th percentile) in percent
LIMITS = {
    "gemm": (6.5, 24),
    "grouped_gemm": (8, 25),
    "attention": (8, 28),
    "mla": (12, 28),
    "dsa": (9, 32),
    "moe": (9, 32),
    "elementwise": (9, 32),
    "sparse_gather": (15, 60),
    "memcpy": (10, 25),
}


@pytest.mark.parametrize("family", LIMITS)
def test_errors_stay_within_the_limits_and_every_row_is_predicted(family: str) -> None:
    table = pd.read_csv(measurements() / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
    table = table[table["device"].str.startswith(("tpu", "ascend"))].reset_index(drop=True)
    module = importlib.import_module(f"simulator.validation.predict.{family}_tpu_ascend")
    found = module.predict(table.drop(columns=[c for c in table.columns if c in MEASURED]))
    errors = np.abs(found.us / table["us"].astype(float).to_numpy() - 1) * 100
    assert not [reason for reason in found.unsupported if reason]
    median, tail = LIMITS[family]
    assert np.median(errors) <= median
    assert np.quantile(errors, 0.9) <= tail


def test_large_16_bit_products_of_v6e_and_910b_are_within_15_percent() -> None:
    table = pd.read_csv(measurements() / "kernels" / "gemm.csv", dtype=str, keep_default_na=False)
    module = importlib.import_module("simulator.validation.predict.gemm_tpu_ascend")
    flops = 2.0 * table["m"].astype(float) * table["n"].astype(float) * table["k"].astype(float)
    plain = table["kernel"].isin(["MatMul*1", "xla_matmul"]) & table["dtype"].isin(["bfloat16", "fp16"])
    large = table[plain & (flops >= 1e10) & table["device"].isin(["tpu-v6e", "ascend-910b2"])].reset_index(drop=True)
    found = module.predict(large.drop(columns=[c for c in large.columns if c in MEASURED]))
    errors = np.abs(found.us / large["us"].astype(float).to_numpy() - 1)
    assert len(large) >= 6
    assert errors.max() <= 0.15
