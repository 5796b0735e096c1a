"""Entry modules of the copy and gather families: every vendor gets a prediction, unknown devices a reason."""

from __future__ import annotations

import pandas as pd

from simulator.validation.predict import memcpy, sparse_gather


def test_copies_of_every_vendor_scale_with_bytes() -> None:
    devices = ["tpu-v7x", "ascend-910b3", "h100-sxm"]
    rows = pd.DataFrame(
        [
            {"device": d, "unit": "chip", "op": "hbm_copy", "dtype": "bfloat16", "bytes": b, "fw": "", "kernel": ""}
            for d in devices
            for b in ("1073741824", "4294967296")
        ]
    )
    found = memcpy.predict(rows)
    assert found.unsupported == [""] * 6
    for small, large in zip(found.us[::2], found.us[1::2], strict=True):
        assert 3.5 < large / small < 4.1


def test_an_unknown_device_is_refused_with_a_reason() -> None:
    rows = pd.DataFrame(
        [{"device": "toaster", "op": "gather", "dtype": "fp16", "rows": "8", "cols": "8", "src_rows": "8", "fw": ""}]
    )
    found = sparse_gather.predict(rows)
    assert found.unsupported[0]
    assert found.us[0] != found.us[0]


def test_an_unseen_gather_still_gets_an_estimate() -> None:
    rows = pd.DataFrame(
        [
            {"device": d, "unit": "die", "op": "embedding", "dtype": "fp16", "rows": "4096", "cols": "7168", "fw": ""}
            for d in ("ascend-910c", "tpu-v6e", "b200-sxm")
        ]
    )
    found = sparse_gather.predict(rows)
    assert found.unsupported == [""] * 3
    assert (found.us > 1).all()
