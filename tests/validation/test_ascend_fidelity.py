"""How firm predictions on parts call themselves that nobody measured."""

from __future__ import annotations

import pandas as pd
import pytest

from simulator.validation.predict.elementwise_tpu_ascend import axis_of, predict


@pytest.mark.parametrize(
    ("device", "fidelity"),
    [
        ("ascend-910b2", "calibrated"),
        ("ascend-910b4", "calibrated"),
        ("ascend-910a", "estimated"),
        ("ascend-960", "estimated"),
        ("tpu-v6e", "estimated"),
    ],
)
def test_a_generation_without_rows_is_an_estimate(device: str, fidelity: str) -> None:
    row = {"device": device, "unit": "chip", "op": "sigmoid", "dtype": "fp16", "rows": "4096", "cols": "4096"}
    found = predict(pd.DataFrame([row]))
    assert found.fidelity == [fidelity]
    assert found.us[0] > 0


def test_the_axis_an_operator_works_on() -> None:
    assert axis_of("axis=0 of 4096x512") == "strided"
    assert axis_of("axis=1 of 4096x512") == "last"
    assert axis_of("perm=0213 of 64x32x512x128") == "last"
    assert axis_of("bcast=1x1024x1") == "broadcast"
    assert axis_of("bcast=1x513") == "last"
