"""Dense matrix products: rows of gemm tables on NVIDIA GPUs; other vendors are handed to their own module."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from simulator.devices.cost import Cost
from simulator.devices.gpu import matmul_cost
from simulator.ops.work import Matmul
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.validation.predict.gpu_rows import (
    Index,
    KernelRows,
    column,
    device_of,
    number,
    predict_groups,
    table_of,
)
from simulator.validation.predict.other_vendors import with_other_vendors
from simulator.validation.predict.precision import precision_of
from simulator.validation.predict.prediction import Prediction

# Benchmarks that replay captured graphs cycle five copies of the weights; profiler runs flush L2 or reuse one weight.
GRAPH_COPIES = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One call of the core model on all rows of a group."""

    term: Matmul
    copies: float

    def __call__(self, gpu: Gpu, kernel: Kernel) -> Cost:
        copies = float(kernel.traits.get("replayed_weights", self.copies))
        return matmul_cost(self.term, gpu, kernel, copies)

    def take(self, positions: Index) -> _Run:
        """Only the products at ``positions``."""
        t = self.term
        m, n, k = (np.asarray(d)[positions] for d in (t.m, t.n, t.k))
        return _Run(replace(t, m=m, n=n, k=k), self.copies)


def groups(rows: pd.DataFrame) -> tuple[list[KernelRows], dict[int, str]]:
    """(groups of rows by device and kernel facts, reason by position of a row that cannot be predicted)."""
    facts = pd.DataFrame({name: column(rows, name) for name in ("device", "fw", "kernel", "dtype", "mode")})
    facts["quantizes"] = column(rows, "note").str.contains("incl_act_quant", regex=False)
    shape = {name: number(rows, name) for name in ("m", "n", "k")}
    sound = np.isfinite(np.stack(list(shape.values()))).all(axis=0)
    found: list[KernelRows] = []
    reasons = {int(i): "m, n and k must be numbers" for i in np.flatnonzero(~sound)}
    for key, index in facts.reset_index(drop=True).groupby(list(facts), sort=True).indices.items():
        device, fw, kernel, dtype, mode, quantizes = key
        where = index[sound[index]]
        gpu, precision = device_of(device), precision_of(dtype)
        if gpu is None or precision is None:
            reason = f"no gemm model for {device!r}" if gpu is None else f"unknown dtype {dtype!r}"
            reasons.update((int(i), reason) for i in where)
            continue
        term = Matmul(
            *(shape[name][where] for name in ("m", "n", "k")),
            a_dtype=precision.activation,
            b_dtype=precision.weight,
            rate=precision.rate,
            quantizes_a=bool(quantizes),
        )
        copies = GRAPH_COPIES if mode == "graph" else np.inf
        chosen = {"dtype": dtype, "kernel": kernel, "mode": mode}
        found.append(KernelRows(where, gpu, table_of(fw, "gemm"), chosen, _Run(term, copies)))
    return found, reasons


def predict(rows: pd.DataFrame) -> Prediction:
    """Predicted time of each row of a gemm table, microseconds."""
    return with_other_vendors(rows, "gemm", lambda r: predict_groups(len(r), *groups(r)))
