"""Fused expert layers (dispatch, expert products, combine in one kernel) on TPU and Ascend devices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.devices.ascend.gemm import grouped_cost as ascend_grouped
from simulator.devices.tpu.matmul import grouped_cost as tpu_grouped
from simulator.ops.work import GroupedMatmul
from simulator.profiles import Kernel
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.precision import Precision, precision_of
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of

COMBINE_BYTES = 2.0  # expert outputs return in 16 bit
_16BIT = Precision("bfloat16", "bfloat16", "bf16")


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row.

    Columns: device, unit, op, dtype, tokens (per rank), hidden, inter, topk, experts, tp, ep, fw, kernel.
    """
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, operator, stack, kernel and format."""
    for key, index, part in classes(rows, "device", "unit", "op", "fw", "kernel", "dtype"):
        facts = {"op": key["op"], "kernel": key["kernel"], "dtype": key["dtype"]}
        precision = precision_of(key["dtype"] or "bfloat16") or _16BIT
        seconds = _seconds(part, precision)
        yield Group(index, key["device"], key["unit"], stack_of(key["fw"]), "moe", facts, seconds)


def _seconds(rows: pd.DataFrame, precision: Precision) -> Seconds:
    tokens, hidden, inter = (number(rows, c, 1.0) for c in ("tokens", "hidden", "inter"))
    topk, experts, tp, ep = (number(rows, c, 1.0) for c in ("topk", "experts", "tp", "ep"))
    a, b, rate = precision.activation, precision.weight, precision.rate
    local = np.maximum(experts / np.maximum(ep, 1.0), 1.0)
    pairs = tokens * topk  # every rank sends and receives this many rows when experts are balanced
    active = np.minimum(local, pairs)
    up = GroupedMatmul(pairs, local, active, 2.0 * inter / tp, hidden, a, b, "bfloat16", rate)
    down = GroupedMatmul(pairs, local, active, hidden, inter / tp, a, b, "bfloat16", rate)
    away = np.where(ep > 1, 1.0, 0.0)
    payload = 1.0 if rate in ("fp8", "int8") else 2.0

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        if isinstance(device, Tpu):
            products = sum((tpu_grouped(t, device, kernel).seconds for t in (up, down)), start=np.zeros(len(tokens)))
        else:
            products = sum((ascend_grouped(t, device, kernel).seconds for t in (up, down)), start=np.zeros(len(tokens)))
        port = device.link.bandwidth
        out = pairs * hidden * payload / (port * kernel.values.get("exchange_share", 0.5))
        back = pairs * hidden * COMBINE_BYTES / (port * kernel.values.get("combine_share", 0.5))
        hidden_share = kernel.values.get("hidden", 0.0)
        exchange = away * (out + back)
        overlapped = np.minimum(hidden_share * products, exchange)
        return np.asarray(exchange + products - overlapped, dtype=np.float64)

    return seconds
