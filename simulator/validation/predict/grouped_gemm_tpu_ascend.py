"""Grouped (expert) matrix products on TPU and Ascend devices."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.devices.ascend.gemm import grouped_cost as ascend_cost
from simulator.devices.tpu.matmul import grouped_cost as tpu_cost
from simulator.ops.work import GroupedMatmul
from simulator.profiles import Kernel
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import column, number
from simulator.validation.predict.precision import Precision, precision_of
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of

_SIZES = re.compile(r"\bm=(\d+(?:/\d+)*)")


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row.

    Columns: device, unit, op, dtype, groups, m_per_group, n, k, fw, kernel; group sizes in note.
    """
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, stack, kernel, format and number of expert groups."""
    for key, index, part in classes(rows, "device", "unit", "op", "fw", "kernel", "dtype", "groups"):
        precision = precision_of(key["dtype"] or "bfloat16")
        if precision is None:
            continue
        facts = {name: key[name] for name in ("op", "dtype", "kernel")}
        seconds = _seconds(part, precision)
        yield Group(index, key["device"], key["unit"], stack_of(key["fw"]), "grouped_gemm", facts, seconds)


def group_sizes(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Rows of each group, shape (rows, groups): the list in ``note`` where it is given, else the mean for all."""
    count = max(1, int(number(rows, "groups", 1.0)[0]))
    mean = number(rows, "m_per_group", 1.0)
    sizes = np.repeat(mean[:, None], count, axis=1)
    for i, note in enumerate(column(rows, "note")):
        listed = _SIZES.search(str(note))
        values = [float(x) for x in listed.group(1).split("/")] if listed else []
        if len(values) == count:
            sizes[i] = values
    return sizes


def _seconds(rows: pd.DataFrame, precision: Precision) -> Seconds:
    sizes = group_sizes(rows)
    n, k = number(rows, "n", 1.0), number(rows, "k", 1.0)

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        term = GroupedMatmul(
            sizes.sum(-1),
            sizes.shape[1],
            (sizes > 0).sum(-1).astype(np.float64),
            n,
            k,
            precision.activation,
            precision.weight,
            "bfloat16",
            precision.rate,
            sizes,
        )
        cost = tpu_cost(term, device, kernel) if isinstance(device, Tpu) else ascend_cost(term, device, kernel)
        return np.asarray(cost.seconds, dtype=np.float64)

    return seconds
