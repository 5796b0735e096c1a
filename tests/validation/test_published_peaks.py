"""Published headline points: large matrix products within 15%, the low-latency expert exchange within 7%."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.validation.peaks import LEFT_OUT, peaks
from simulator.validation.predict.table import predict_frame
from tests.shared_data import measurements

WITHIN = 0.15
PEAK = 0.07
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
    assert errors(h800).max() <= PEAK


PUBLISHED = Path(__file__).resolve().parents[2] / "reports" / "peaks" / "published.csv"
CLASSES = {
    "dense 16-bit": lambda t: (t["what"] == "bfloat16 matrix product") & ~t["device"].str.startswith("tpu"),
    "dense 8-bit": lambda t: t["what"].str.match("(fp8|fp8_block) matrix product"),
    "cache reads": lambda t: t["what"].str.startswith("KV cache"),
    "all-reduce": lambda t: t["what"].str.startswith("all-reduce"),
    "expert exchange": lambda t: t["what"].str.startswith("DeepEP"),
    "matrix units of TPU": lambda t: t["device"].str.startswith("tpu") & t["what"].str.contains("matrix"),
    "cubes of Ascend": lambda t: t["device"].str.startswith("ascend"),
}


@pytest.fixture(scope="module")
def reached() -> pd.DataFrame:
    return peaks(PUBLISHED)


@pytest.mark.parametrize("name", CLASSES)
def test_published_peaks_are_reproduced(reached: pd.DataFrame, name: str):
    part = reached[CLASSES[name](reached)]
    assert len(part) >= 2
    assert (part["ratio"] - 1).abs().max() <= PEAK, part


def test_every_published_peak_is_in_a_class_or_low_precision(reached: pd.DataFrame):
    """Nothing stands in the table without a test."""
    known = reached["what"].str.startswith("nvfp4")
    for inside in CLASSES.values():
        known |= inside(reached)
    assert known.all(), reached[~known]
    assert (reached["ratio"] - 1).abs().max() <= PEAK


def test_what_is_left_out_says_why():
    table = pd.read_csv(PUBLISHED.parent / LEFT_OUT)
    assert table["reason"].str.len().min() > 20
