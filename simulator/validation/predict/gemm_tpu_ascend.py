"""Dense matrix products on TPU and Ascend devices."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.devices.ascend.gemm import matmul_cost as ascend_cost
from simulator.devices.tpu.matmul import matmul_cost as tpu_cost
from simulator.ops.work import Matmul
from simulator.profiles import Kernel
from simulator.profiles.kernels import Trait
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.precision import Precision, precision_of
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of

_BLOCKS = re.compile(r"b([mkn])=(\d+)")


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row. Columns: device, unit, dtype, m, n, k, fw, kernel, mode."""
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, stack, kernel and format; rows of an unknown format are left out."""
    for key, index, part in classes(rows, "device", "unit", "fw", "kernel", "dtype", "mode"):
        precision = precision_of(key["dtype"] or "bfloat16")
        if precision is None:
            continue
        facts = {name: key[name] for name in ("dtype", "kernel", "mode")}
        seconds = _seconds(part, precision, key["mode"] == "host")
        stack = stack_of(key["fw"])
        yield Group(index, key["device"], key["unit"], stack, "gemm", facts, seconds, blocks_in(key["kernel"]))


def blocks_in(kernel: str) -> dict[str, Trait]:
    """Block sizes spelled out in a kernel's name ("bm=512_bk=1024_bn=1024"), {} unless all three are there."""
    found: dict[str, Trait] = {f"block_{axis}": int(size) for axis, size in _BLOCKS.findall(kernel)}
    return found if len(found) == 3 else {}


def _seconds(rows: pd.DataFrame, precision: Precision, host: bool) -> Seconds:
    m, n, k = (number(rows, axis, 1.0) for axis in "mnk")

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        out = str(kernel.traits.get("output", "bfloat16"))
        term = Matmul(m, n, k, precision.activation, precision.weight, out, precision.rate)
        cost = tpu_cost(term, device, kernel) if isinstance(device, Tpu) else ascend_cost(term, device, kernel)
        dispatch = kernel.values.get("host_dispatch", 0.0) if host else 0.0
        return np.asarray(cost.seconds + dispatch, dtype=np.float64)

    return seconds
