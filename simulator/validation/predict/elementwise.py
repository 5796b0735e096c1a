"""Vector passes: NVIDIA rows here, TPU and Ascend rows in elementwise_tpu_ascend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.devices.cost import Cost
from simulator.devices.gpu.elementwise import elementwise_cost
from simulator.devices.gpu.hyper_connection import projection_cost
from simulator.ops.tensor import Number
from simulator.ops.work import Elementwise, Matmul
from simulator.profiles import Kernel, KernelTable, ProfileError, load_device, load_kernels
from simulator.profiles.dtypes import format_of
from simulator.profiles.gpu import Gpu
from simulator.validation.predict.other_vendors import with_other_vendors
from simulator.validation.predict.prediction import Prediction, blank, supported, worst
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.systems import firmness

KEYS = ["device", "op", "dtype", "fw", "kernel", "extra", "calls"]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accesses:
    """Tensor accesses of an operator per output element, in units of the element, and its exponentials.

    read, written: elements moved. quantised: the write is one byte.
    """

    read: float
    written: float
    exps: float = 0.0
    quantised: bool = False


OPERATORS: dict[str, Accesses] = {
    "add": Accesses(2, 1),
    "mul": Accesses(2, 1),
    "maximum": Accesses(2, 1),
    "rmsnorm": Accesses(1, 1),
    "layernorm": Accesses(1, 1),
    "add_rmsnorm": Accesses(2, 2),
    "softmax": Accesses(1, 1, exps=1),
    "gelu": Accesses(1, 1, exps=1),
    "relu": Accesses(1, 1),
    "sigmoid": Accesses(1, 1, exps=1),
    "exp": Accesses(1, 1, exps=1),
    "silu_mul": Accesses(2, 1, exps=1),
    "rope": Accesses(1, 1),
    "transpose": Accesses(1, 1),
    "quantize_fp8_static": Accesses(1, 1, quantised=True),
    "quantize_fp8_dynamic": Accesses(2, 1, quantised=True),
    "quantize_int8_dynamic": Accesses(2, 1, quantised=True),
    "dequant_silu_mul_quant": Accesses(2, 1, exps=1, quantised=True),
    "add_rmsnorm_quant_int8": Accesses(2, 2),
    "multi_add_rmsnorm_quant_int8": Accesses(3, 2),
    "kv_rmsnorm_rope_cache": Accesses(1, 1),
    "cross_entropy": Accesses(1, 0, exps=1),
    "arg_max": Accesses(1, 0),
    "moe_gating_topk_softmax": Accesses(1, 0, exps=1),
}
# Per element of one of hc residual streams; hc from the row's ``extra``.
STREAMED: dict[str, Callable[[float], Accesses]] = {
    # mixing weights come from a product over all streams (PROJECTED); this is the second pass, one mixed stream out
    "mhc_pre": lambda hc: Accesses(1, 1 / hc),
    "mhc_post": lambda hc: Accesses(1 + 1 / hc, 1),
}
STREAMS = 4.0  # residual streams when a row does not say
PROJECTED = {"mhc_pre": "mhc_project"}
"""Operator whose mixing weights are projected first -> name of the kernel that does."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Rows of one device, operator and kernel; ``calls`` calls of that operator make up one row.

    product: projection that comes before the pass, None if there is none.
    """

    term: Elementwise
    product: Matmul | None
    gpu: Gpu
    table: KernelTable
    facts: Mapping[str, str]
    calls: float

    def kernel(self) -> Kernel:
        """The stack's kernel for these rows."""
        return self.table.select(self.gpu.architecture, **self.facts)

    def cost(self) -> Cost:
        """Cost of one call for each row."""
        own = elementwise_cost(self.term, self.gpu, self.kernel())
        if self.product is None:
            return own
        facts = {**self.facts, "name": PROJECTED[self.term.name]}
        return own + projection_cost(self.product, self.gpu, self.table.select(self.gpu.architecture, **facts))

    def seconds(self) -> Array:
        """Predicted time of each row."""
        return self.calls * np.asarray(self.cost().seconds, dtype=np.float64)


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each vector pass."""
    return with_other_vendors(rows, "elementwise", predict_gpu)


def predict_gpu(rows: pd.DataFrame) -> Prediction:
    """NVIDIA rows; rows of one device, stack and operator are costed in one call."""
    out, table = blank(len(rows)), prepared(rows)
    for key, group in table.groupby(KEYS, sort=False, dropna=False):
        index = group.index.to_numpy(dtype=np.intp)
        try:
            case = case_of(dict(zip(KEYS, key, strict=True)), _numbers(group["rows"]), _numbers(group["cols"]))
            stack = "derived" if case.table.substituted_for else "calibrated"
            part = supported(case.seconds() * 1e6, worst(stack, firmness(case.gpu.name, "efficiencies.vector_stream")))
        except (ValueError, KeyError, ProfileError) as error:
            part = blank(len(index), str(error).strip("'\""))
        out.put(index, part)
    return out


def prepared(rows: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with every key column and the number of calls a row stands for."""
    table = rows.reset_index(drop=True)
    for column in KEYS:
        if column not in table:
            table[column] = ""
    note = table["note"].astype(str) if "note" in table else pd.Series("", index=table.index)
    table["calls"] = np.where(note.str.contains("x2_calls"), 2.0, 1.0)
    return table


def case_of(key: Mapping[str, Any], rows: Array, cols: Array) -> Case:
    """The vector pass behind rows that share ``key``. KeyError, ValueError, ProfileError: not describable."""
    gpu = load_device(str(key["device"]))
    if not isinstance(gpu, Gpu):
        raise ValueError(f"{key['device']} is not a GPU")
    op = str(key["op"])
    term = term_of(op, str(key["dtype"]), str(key["extra"]), rows, cols)
    table = load_kernels(runtime_of(str(key["fw"])), "elementwise", "nvidia")
    facts = {"name": op, "kernel": str(key["kernel"]), "dtype": str(key["dtype"])}
    return Case(term, product_of(term, str(key["extra"])), gpu, table, facts, float(key["calls"]))


def term_of(op: str, dtype: str, extra: str, rows: Array, cols: Array) -> Elementwise:
    """Work of ``op`` over rows x cols elements. ValueError: the operator is not known."""
    accesses = OPERATORS.get(op)
    if op in STREAMED:
        hc = _extra(extra, "hc_mult", STREAMS)
        accesses, cols = STREAMED[op](hc), hc * cols
    if accesses is None:
        raise ValueError(f"vector operator {op!r} is not known")
    source, _, target = dtype.partition(">")
    width = format_of(source or "bfloat16").bytes
    out = format_of(target).bytes if target else 1.0 if accesses.quantised else width
    elements: Number = rows * cols
    return Elementwise(
        op, rows, cols, accesses.read * elements * width, accesses.written * elements * out, exps=accesses.exps
    )


def product_of(term: Elementwise, extra: str) -> Matmul | None:
    """Projection of the streams on their mixing weights: to, from and between hc streams; None for other operators."""
    if term.name not in PROJECTED:
        return None
    hc = _extra(extra, "hc_mult", STREAMS)
    return Matmul(term.rows, hc * (2.0 + hc), term.cols, "bfloat16", "fp32", "fp32", "tf32")


def _extra(text: str, name: str, default: float) -> float:
    for part in text.split(";"):
        key, _, value = part.partition("=")
        if key.strip() == name and value:
            return float(value)
    return default


def _numbers(column: pd.Series[Any]) -> Array:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
