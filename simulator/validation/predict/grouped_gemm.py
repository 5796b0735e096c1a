"""Grouped matrix products: rows of grouped_gemm tables on NVIDIA GPUs; other vendors go to their own module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.devices.cost import Cost
from simulator.devices.gpu import grouped_matmul_cost
from simulator.ops.work import GroupedMatmul
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.validation.predict.gpu_rows import (
    Index,
    KernelRows,
    column,
    kernel_groups,
    number,
    predict_groups,
)
from simulator.validation.predict.other_vendors import with_other_vendors
from simulator.validation.predict.precision import Precision
from simulator.validation.predict.prediction import Prediction

Array = npt.NDArray[np.float64]

# masked layouts are benchmarked with rows per expert drawn evenly from this range around the mean (InferSim)
MASKED_SPREAD = (0.7, 1.3)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One call of the core model on all rows of a group."""

    term: GroupedMatmul

    def __call__(self, gpu: Gpu, kernel: Kernel) -> Cost:
        return grouped_matmul_cost(self.term, gpu, kernel)

    def take(self, positions: Index) -> _Run:
        """Only the products at ``positions``."""
        t = self.term
        rows, held, active, n, k = (np.asarray(d)[positions] for d in (t.rows, t.groups, t.active, t.n, t.k))
        loads = None if t.loads is None else t.loads[positions]
        return _Run(replace(t, rows=rows, groups=held, active=active, n=n, k=k, loads=loads))


def _loads(layout: str, groups: float, mean: float, note: str) -> Array:
    """Rows per group: the list in ``note`` if there is one, the masked draw's spread, else equal."""
    listed = re.search(r"\bm=(\d+(?:/\d+)*)", note)
    if listed:
        return np.array([float(v) for v in listed[1].split("/")])
    count = max(int(groups), 1)
    if layout != "masked" or count == 1:
        return np.full(count, mean)
    low, high = MASKED_SPREAD
    points = low + (high - low) * (np.arange(count) + 0.5) / count  # even quantiles of the draw
    return np.asarray(np.floor(mean * points))


def _stacked(loads: list[Array]) -> Array:
    """One row per product, empty groups appended."""
    table = np.zeros((len(loads), max((len(x) for x in loads), default=1)))
    for row, x in zip(table, loads, strict=True):
        row[: len(x)] = x
    return table


def groups(rows: pd.DataFrame) -> tuple[list[KernelRows], dict[int, str]]:
    """(groups of rows by device and kernel facts, reason by position of a row that cannot be predicted)."""
    names = ("device", "fw", "kernel", "dtype", "mode", "op", "layout")
    facts = pd.DataFrame({name: column(rows, name).to_numpy() for name in names})
    note = column(rows, "note").to_list()
    facts["quantizes"] = ["true" if "incl_act_quant" in text else "false" for text in note]
    s = {name: number(rows, name) for name in ("groups", "m_per_group", "n", "k")}

    def build(one: Mapping[str, str], index: Index, gpu: Gpu, precision: Precision) -> _Run:
        loads = _stacked([_loads(one["layout"], s["groups"][i], s["m_per_group"][i], note[i]) for i in index])
        term = GroupedMatmul(
            rows=loads.sum(axis=1),
            groups=s["groups"][index],
            active=(loads > 0).sum(axis=1),
            n=s["n"][index],
            k=s["k"][index],
            a_dtype=precision.activation,
            b_dtype=precision.weight,
            rate=precision.rate,
            loads=loads,
            quantizes_a=one["quantizes"] == "true",
        )
        return _Run(term)

    return kernel_groups(facts, s, "grouped_gemm", build)


def predict(rows: pd.DataFrame) -> Prediction:
    """Predicted time of each row of a grouped_gemm table, microseconds."""
    return with_other_vendors(rows, "grouped_gemm", lambda r: predict_groups(len(r), *groups(r)))
