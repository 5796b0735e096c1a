"""Vector passes (activations, norms, quantisers, rotary, hyper-connections ...) on TPU and Ascend devices."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.devices.ascend.vector import elementwise_cost as ascend_cost
from simulator.devices.ascend.vector import memory
from simulator.devices.tpu.vector import elementwise_cost as tpu_cost
from simulator.ops.work import Elementwise
from simulator.profiles import Kernel
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of
from simulator.validation.predict.vector_traffic import casts, element_bytes, helper_passes, launches, option, traffic

_AXIS = re.compile(r"axis=(\d+) of (\d+(?:x\d+)*)")
_NAME = re.compile(r"([A-Za-z]\w*)\*(\d+)")


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row. Columns: device, unit, op, dtype, rows, cols, extra, fw, kernel."""
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, operator, stack, kernel, format and extra facts."""
    for key, index, part in classes(rows, "device", "unit", "op", "fw", "kernel", "dtype", "extra"):
        facts = {"name": key["op"], "kernel": key["kernel"], "dtype": key["dtype"]}
        traits = {"axis": axis_of(key["extra"])}
        seconds = _seconds(part, key)
        yield Group(index, key["device"], key["unit"], stack_of(key["fw"]), "elementwise", facts, seconds, traits)


def axis_of(extra: str) -> str:
    """ "last" if the worked axis is contiguous (a transposition keeps the last axis), else "strided".

    "broadcast" if an operand holds one value per row.
    """
    found = _AXIS.search(extra)
    if found:
        return "last" if int(found.group(1)) == len(found.group(2).split("x")) - 1 else "strided"
    permutation = option(extra, "perm").split(" ")[0]
    if permutation:
        return "last" if permutation[-1] == str(len(permutation) - 1) else "strided"
    broadcast = option(extra, "bcast").split("x")
    return "broadcast" if len(broadcast) > 1 and broadcast[-1] == "1" else "last"


def launched(kernel: str) -> dict[str, int]:
    """Device kernels listed in a row's ``kernel`` ("Slice*1+SwiGlu*1") and how often each runs."""
    found: dict[str, int] = {}
    for name, count in _NAME.findall(kernel):
        found[name] = found.get(name, 0) + int(count)
    return found


def _seconds(rows: pd.DataFrame, key: dict[str, str]) -> Seconds:
    count, cols = number(rows, "rows", 1.0), number(rows, "cols", 1.0)
    if key["op"].startswith("mhc"):
        cols = cols * float(option(key["extra"], "hc_mult") or 4)  # all residual streams of a token
    kernels, size = launched(key["kernel"]), element_bytes(key["dtype"])
    moved = traffic(key["op"], count, cols, size, key["extra"], kernels)

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        if isinstance(device, Tpu):
            term = Elementwise(key["op"], count, cols, moved.read, moved.written, moved.ops, moved.exps)
            return np.asarray(tpu_cost(term, device, kernel).seconds, dtype=np.float64)
        fused = bool(kernel.traits.get("fuses_chains", False))
        ran = launches(key["op"], kernels, fused=fused)
        ops = moved.ops + casts(key["op"], key["dtype"], key["extra"])
        term = Elementwise(key["op"], count, cols, moved.read, moved.written, ops, moved.exps, ran)
        further = helper_passes(key["op"], kernels, fused=fused)
        tensor = count * cols * size
        extra = further * memory(tensor, tensor, device, warm=True).seconds
        return np.asarray(ascend_cost(term, device, kernel).seconds + extra, dtype=np.float64)

    return seconds
