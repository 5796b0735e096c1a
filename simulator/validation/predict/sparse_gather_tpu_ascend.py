"""Gathers, scatters and expert routing on TPU and Ascend devices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.devices.ascend.scatter import (
    Picked,
    Routing,
    combine_cost,
    picked_cost,
    regroup_cost,
    routing_cost,
    scatter_cost,
)
from simulator.devices.ascend.vector import gather_cost
from simulator.devices.tpu.sparse import gather_cost as tpu_gather
from simulator.ops.work import Gather
from simulator.profiles import Kernel
from simulator.profiles.ascend import Ascend
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.elementwise_tpu_ascend import axis_of
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of
from simulator.validation.predict.vector_traffic import element_bytes, option

INDEX_BYTES = 8.0  # indices arrive as int64


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row. Columns: device, unit, op, dtype, src_rows, rows, cols, topk, extra, fw, kernel."""
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, operator, stack, kernel, format and extra facts."""
    for key, index, part in classes(rows, "device", "unit", "op", "fw", "kernel", "dtype", "extra"):
        facts = {"name": key["op"], "kernel": key["kernel"], "dtype": key["dtype"]}
        seconds = _seconds(part, key)
        yield Group(index, key["device"], key["unit"], stack_of(key["fw"]), "sparse_gather", facts, seconds)


def _seconds(rows: pd.DataFrame, key: dict[str, str]) -> Seconds:
    moved, cols, size = number(rows, "rows", 1.0), number(rows, "cols", 1.0), element_bytes(key["dtype"])
    sources = number(rows, "src_rows", 0.0)

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        if isinstance(device, Tpu):
            # a combine reads the local expert rows and writes one row a token
            both = Gather((np.maximum(sources, moved) + moved) / 2.0, cols * size, key["op"])
            return np.asarray(tpu_gather(both, device, kernel).seconds, dtype=np.float64)
        if key["op"] == "moe_init_routing":
            return _routing((sources, moved, cols), size, key["extra"], device, kernel)
        if key["op"] == "moe_finalize_routing":
            cost = combine_cost(moved, cols * size, number(rows, "topk", 1.0), device, kernel)
            return np.asarray(cost.seconds, dtype=np.float64)
        if key["op"] == "moe_re_routing":
            segments = float(option(key["extra"], "experts") or 1) * float(option(key["extra"], "ranks") or 1)
            cost = regroup_cost(moved, cols * size, segments, device, kernel)
            return np.asarray(cost.seconds, dtype=np.float64)
        if key["op"] == "kv_cache_scatter":
            return np.asarray(scatter_cost(moved, cols * size, 2, device, kernel).seconds, dtype=np.float64)
        if key["op"] in ("gather_elements", "scatter_elements"):
            return _elements((sources, moved, cols), size, key, device, kernel)
        return np.asarray(gather_cost(Gather(moved, cols * size, key["op"]), device, kernel).seconds, dtype=np.float64)

    return seconds


def _routing(
    shape: tuple[FloatArray, FloatArray, FloatArray], size: float, extra: str, device: Ascend, kernel: Kernel
) -> FloatArray:
    """Rows kept are those of the local experts, as many of the pairs as the expert range holds."""
    tokens, pairs, cols = shape
    low, _, high = option(extra, "range").partition("-")
    experts = float(option(extra, "experts") or 1)
    share = min(1.0, (float(high or experts) - float(low or 0)) / experts)
    quantised = option(extra, "quant") in ("0", "1")  # static or dynamic scales
    active = option(extra, "active")
    kept = np.minimum(pairs * share, float(active)) if active else pairs * share
    work = Routing(pairs, tokens, kept, cols, size, quantised)
    return np.asarray(routing_cost(work, device, kernel).seconds, dtype=np.float64)


def _elements(
    shape: tuple[FloatArray, FloatArray, FloatArray], size: float, key: dict[str, str], device: Ascend, kernel: Kernel
) -> FloatArray:
    """Element-wise gather or scatter along one axis; the gather that brings its axis last transposes around it."""
    sources, moved, cols = shape
    scattered = key["op"] == "scatter_elements"
    turns = kernel.traits.get("strided_rows") == "transposed" and axis_of(key["extra"]) == "strided"
    copied = scattered and "TensorMove" in key["kernel"]
    work = Picked(moved * cols, sources * cols * size, size, INDEX_BYTES, scattered, copied, turns)
    return np.asarray(picked_cost(work, device, kernel).seconds, dtype=np.float64)
