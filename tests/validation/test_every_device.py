"""Every device can be predicted, measured or not, and says how firm that is."""

from __future__ import annotations

import pandas as pd
import pytest

from simulator.profiles import list_names, load_device
from simulator.profiles.error_bands import load_error_bands
from simulator.validation.predict.table import predict_frame

STACK = {
    "nvidia": {"fw": "vllm-0.24.0", "kernel": "torch.nn.functional.linear", "mode": "graph", "unit": "chip"},
    "google": {"fw": "jax", "kernel": "xla_matmul", "mode": "trace", "unit": "chip"},
    "huawei": {"fw": "cann-9.0", "kernel": "MatMul*1", "mode": "msprof", "unit": "die"},
}
SIZES = ((4096, 7168, 2048), (8, 8192, 8192), (1, 128, 128))


def table(device: str) -> pd.DataFrame:
    """A dense product, an elementwise pass and decode attention at three sizes."""
    common = {"device": device, "dtype": "bfloat16", "note": ""} | STACK[load_device(device).vendor]
    rows = [common | {"op": "gemm", "m": m, "n": n, "k": k} for m, n, k in SIZES]
    rows += [common | {"op": "add", "rows": m, "cols": n, "extra": "", "kernel": ""} for m, n, _ in SIZES]
    rows += [
        common
        | {"op": "attention_decode_gqa", "kv_dtype": "bfloat16", "batch": m, "q_len": 1, "kv_len": n, "heads": 32}
        | {"kv_heads": 8, "head_dim": 128, "window": 0, "kernel": ""}
        for m, n, _ in SIZES
    ]
    return pd.DataFrame(rows).astype(object).fillna("").astype(str)


@pytest.mark.parametrize("device", list_names("device"))
def test_every_device_is_predicted_and_says_how_firmly(device: str) -> None:
    _, found = predict_frame(table(device))
    us = found["predicted_us"].astype(float)
    assert found["unsupported"].eq("").all(), found["unsupported"].tolist()
    assert us.gt(0).all()
    for _, part in us.groupby(found["op"].to_numpy()):
        assert part.iloc[0] > part.iloc[2]  # the large one takes longer than the tiny one
    assert found["error_band_pct"].astype(float).gt(0).all()
    ground = {load_error_bands().ground("gemm", device, load_device(device).architecture)}
    if ground == {"none"}:
        assert set(found["fidelity"]) <= {"derived", "estimated"}
