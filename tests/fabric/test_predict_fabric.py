"""Predictions of collectives, exchanges, links and vector passes against the published rows."""

import numpy as np
import pandas as pd
import pytest

from simulator.validation.predict import collectives, deepep, elementwise, link
from tests.shared_data import measurements

BLANK = ["us", "gbps", "bwd_us"]


@pytest.mark.parametrize(
    ("family", "module", "median", "p90"),
    [
        ("collectives", collectives, 7, 25),
        ("deepep", deepep, 5.5, 18),
        ("link", link, 4, 20),
        ("elementwise", elementwise, 9, 30),
    ],
)
def test_error_of_a_family(family, module, median, p90):
    rows = pd.read_csv(measurements() / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
    us = pd.to_numeric(rows["us"]).to_numpy()
    blank = rows.assign(**{c: "" for c in BLANK if c in rows})
    out = module.predict(blank)
    error = np.abs(out.us / us - 1)
    known = np.isfinite(error)
    if family == "elementwise":
        known &= ~rows["device"].str.match("tpu|ascend").to_numpy()
    else:
        assert known.mean() >= 0.95
    assert 100 * np.median(error[known]) <= median
    assert 100 * np.quantile(error[known], 0.9) <= p90


def test_an_unknown_stack_is_marked_estimated():
    row = {"device": "b200-sxm", "op": "allreduce", "dtype": "fp16", "bytes": "1048576", "gpus": "8", "nodes": "1"}
    rows = pd.DataFrame([row | {"fw": "newstack-1.0", "kernel": "x", "mode": "graph", "unit": "chip"}])
    out = collectives.predict(rows)
    assert np.isfinite(out.us[0])
    assert out.fidelity == ["estimated"]


def test_an_unknown_operator_says_so():
    row = {
        "device": "h100-sxm",
        "op": "teleport",
        "dtype": "fp16",
        "bytes": "1",
        "gpus": "8",
        "nodes": "1",
        "fw": "nccl",
    }
    out = collectives.predict(pd.DataFrame([row]))
    assert np.isnan(out.us[0])
    assert "teleport" in out.unsupported[0]
