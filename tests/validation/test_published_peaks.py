"""Published headline points: large matrix products and the low-latency expert exchange, within 15%."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulator.validation.predict.table import predict_frame
from tests.shared_data import measurements

WITHIN = 0.15
LARGE_FLOP = 4e11  # from here on a product keeps every unit of the largest device busy for tens of microseconds


def errors(table: pd.DataFrame) -> np.ndarray:
    """|predicted / measured - 1| of each row."""
    _, predicted = predict_frame(table)
    return np.abs(predicted["predicted_us"].astype(float) / table["us"].astype(float) - 1).to_numpy()


def rows(name: str) -> pd.DataFrame:
    return pd.read_csv(measurements() / "kernels" / f"{name}.csv", dtype=str, keep_default_na=False)


@pytest.mark.parametrize("device", ["h100-sxm", "h800-sxm", "b200-sxm", "tpu-v6e", "ascend-910b2"])
def test_large_matrix_products(device: str):
    table = rows("gemm")
    flop = 2 * table[["m", "n", "k"]].astype(float).prod(axis=1)
    sixteen_or_eight = table["dtype"].isin(["bfloat16", "fp16", "fp8", "fp8_block"])
    large = table[(table["device"] == device) & (flop > LARGE_FLOP) & sixteen_or_eight]
    assert len(large) >= 3
    assert np.median(errors(large)) <= WITHIN


def test_every_low_latency_exchange_deepseek_published():
    table = rows("deepep")
    h800 = table[(table["device"] == "h800-sxm") & (table["mode"] == "ll")]
    assert len(h800) == 10
    assert errors(h800).max() <= WITHIN
