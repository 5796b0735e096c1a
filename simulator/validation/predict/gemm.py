"""Dense matrix products: rows of gemm tables on NVIDIA GPUs; other vendors are handed to their own module."""

from __future__ import annotations

from collections.abc import Mapping
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
    kernel_groups,
    number,
    predict_groups,
)
from simulator.validation.predict.other_vendors import with_other_vendors
from simulator.validation.predict.precision import Precision
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
    facts = pd.DataFrame({name: column(rows, name).to_numpy() for name in ("device", "fw", "kernel", "dtype", "mode")})
    note = column(rows, "note")
    facts["quantizes"] = ["true" if "incl_act_quant" in text else "false" for text in note]
    sizes = {name: number(rows, name) for name in ("m", "n", "k")}

    def build(one: Mapping[str, str], index: Index, gpu: Gpu, precision: Precision) -> _Run:
        term = Matmul(
            m=sizes["m"][index],
            n=sizes["n"][index],
            k=sizes["k"][index],
            a_dtype=precision.activation,
            b_dtype=precision.weight,
            rate=precision.rate,
            quantizes_a=one["quantizes"] == "true",
        )
        return _Run(term, GRAPH_COPIES if one["mode"] == "graph" else np.inf)

    return kernel_groups(facts, sizes, "gemm", build)


def predict(rows: pd.DataFrame) -> Prediction:
    """Predicted time of each row of a gemm table, microseconds."""
    return with_other_vendors(rows, "gemm", lambda r: predict_groups(len(r), *groups(r)))
