"""Predictions of GPU attention, MLA and sparse-attention tables: coverage, unseen inputs, determinism, accuracy."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator.validation.predict.prediction import Prediction
from tests.shared_data import measurements

FAMILIES = ("attention", "mla", "dsa")
COMMON = {"dtype": "bfloat16", "kv_dtype": "bfloat16", "batch": "16", "q_len": "1", "mode": "graph", "note": ""}
ATTENTION = COMMON | {"op": "attention_decode_gqa", "kv_len": "4096", "heads": "32", "kv_heads": "8", "head_dim": "128"}
ATTENTION |= {"window": "0", "fw": "vllm-0.24.0", "kernel": ""}
MLA = COMMON | {"op": "mla_decode", "gemm_dtype": "bfloat16", "kv_len": "4096", "heads": "128"}
MLA |= {"fw": "trtllm-1.3.0", "kernel": "default"}
DSA = COMMON | {"op": "dsa_module_decode", "model": "DS-V3.2", "kv_dtype": "fp8", "gemm_dtype": "fp8_block"}
DSA |= {"past_len": "8192", "heads": "128", "idx_heads": "64", "topk": "2048", "compress": "1"}
DSA |= {"fw": "sglang-0.5.14", "kernel": ""}
ROWS = {"attention": ATTENTION, "mla": MLA, "dsa": DSA}


def predict(family: str, rows: pd.DataFrame) -> Prediction:
    module: Any = importlib.import_module(f"simulator.validation.predict.{family}")
    result: Prediction = module.predict(rows)
    return result


def table(family: str, **changes: list[str]) -> pd.DataFrame:
    count = max((len(v) for v in changes.values()), default=1)
    base = {**{"device": "h100-sxm"}, **ROWS[family]}
    return pd.DataFrame({k: changes.get(k, [v] * count) for k, v in base.items()})


def gpu_rows(family: str) -> pd.DataFrame:
    rows = pd.read_csv(measurements() / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
    return rows[~rows["device"].str.match("tpu|ascend")].reset_index(drop=True)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("device", ["b300-sxm", "gb300", "h20", "l40s", "rtx-pro-6000", "a100-pcie", "h800-sxm"])
def test_devices_without_rows_are_predicted(family: str, device: str) -> None:
    got = predict(family, table(family, device=[device]))
    assert got.unsupported == [""]
    assert np.isfinite(got.us).all()
    assert got.fidelity[0] in ("calibrated", "derived", "estimated")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unseen_stack_kernel_and_format_fall_back(family: str) -> None:
    unseen = {"fw": ["tensorforge-9"], "kernel": ["unknown"], "kv_dtype": ["int8"], "dtype": ["fp16"]}
    got = predict(family, table(family, **unseen))
    assert got.unsupported == [""]
    assert np.isfinite(got.us).all()
    assert got.fidelity != ["calibrated"]


@pytest.mark.parametrize("family", FAMILIES)
def test_an_unknown_operator_is_named_not_guessed(family: str) -> None:
    got = predict(family, table(family, op=["attention_of_tomorrow"]))
    assert got.unsupported != [""]
    assert np.isnan(got.us).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_do_not_depend_on_their_neighbours(family: str) -> None:
    many = table(family, batch=["1", "16", "256"])
    together = predict(family, many).us
    alone = [float(predict(family, many.iloc[[i]].reset_index(drop=True)).us[0]) for i in range(3)]
    assert together == pytest.approx(alone, rel=1e-12)
    assert together[0] <= together[1] <= together[2]


def test_sparse_layers_pay_the_indexer_only_beyond_the_selection() -> None:
    short, long = predict("dsa", table("dsa", past_len=["1024", "65536"])).us
    assert long > short


def test_the_slower_host_shows_where_kernels_are_launched_one_by_one() -> None:
    eager = {"op": ["dsa_module_prefill"] * 2, "mode": ["eager"] * 2, "q_len": ["4"] * 2}
    x86, grace = predict("dsa", table("dsa", device=["b200-sxm", "gb200"], **eager)).us
    assert grace > 1.5 * x86


TARGETS = [("attention", 8.0, 28.0), ("mla", 8.0, 28.0), ("dsa", 9.0, 32.0)]


@pytest.mark.parametrize(("family", "median", "p90"), TARGETS)
def test_errors_stay_within_the_targets(family: str, median: float, p90: float) -> None:
    rows = gpu_rows(family)
    got = predict(family, rows.drop(columns=["us"]))
    error = np.abs(got.us / pd.to_numeric(rows["us"]).to_numpy() - 1) * 100
    assert np.isfinite(error).mean() >= 0.98
    assert np.nanmedian(error) <= median
    assert np.nanpercentile(error, 90) <= p90
