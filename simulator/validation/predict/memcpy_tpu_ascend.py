"""Copies inside HBM on TPU and Ascend devices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.devices.ascend.vector import memory
from simulator.devices.tpu.vector import copy_cost
from simulator.profiles import Kernel
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row. Columns: device, unit, op, bytes, fw, kernel, mode."""
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, operator, stack and kernel."""
    for key, index, part in classes(rows, "device", "unit", "op", "fw", "kernel", "mode"):
        facts = {"op": key["op"], "kernel": key["kernel"]}
        seconds = _seconds(part, key["mode"] == "host")
        yield Group(index, key["device"], key["unit"], stack_of(key["fw"]), "memcpy", facts, seconds)


def _seconds(rows: pd.DataFrame, host: bool) -> Seconds:
    size = number(rows, "bytes", 0.0)

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        if isinstance(device, Tpu):
            total = copy_cost(size, device, kernel).seconds
        else:
            total = device.efficiencies.vector_start + memory(size, size, device).seconds
        dispatch = kernel.values.get("host_dispatch", 0.0) if host else 0.0
        return np.asarray(total + dispatch, dtype=np.float64)

    return seconds
