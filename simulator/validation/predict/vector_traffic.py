"""Bytes and operations per element of the vector operators in elementwise tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulator.validation.predict.prediction import FloatArray

_BYTES = {"fp32": 4, "int32": 4, "int64": 8, "int16": 2, "int8": 1, "uint8": 1, "bool": 1, "fp8": 1, "fp64": 8}
_SIXTEEN_BIT = 2.0

# operator -> (reads, writes) in tensors of rows x cols, (vector operations, transcendentals) per element
_PLAIN: dict[str, tuple[float, float, float, float]] = {
    "sigmoid": (1, 1, 3, 1),
    "exp": (1, 1, 1, 1),
    "gelu": (1, 1, 8, 1),
    "relu": (1, 1, 1, 0),
    "maximum": (2, 1, 1, 0),
    "add": (2, 1, 1, 0),
    "mul": (2, 1, 1, 0),
    "softmax": (1, 1, 4, 1),
    "layernorm": (1, 1, 6, 0),
    "rmsnorm": (1, 1, 4, 0),
    "silu_mul": (2, 1, 4, 1),
    "rope": (1, 1, 6, 0),
    "transpose": (1, 1, 1, 0),
    "arg_max": (1, 0, 2, 0),
    "cross_entropy": (1, 1, 5, 1),
    "moe_gating_topk_softmax": (1, 1, 12, 1),
    "mhc_sinkhorn": (1, 1, 100, 1),
}
# passes of separately launched kernels; scalar arithmetic works in place on what the previous kernel left in L2
_SEPARATE_PASSES = {"Mul": 0.5, "Muls": 0.5, "Add": 0.5, "Slice": 1.0, "Cast": 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Bytes moved in total, vector operations and transcendentals per element, further passes over the tensor."""

    read: FloatArray
    written: FloatArray
    ops: float
    exps: float
    passes: float = 0.0


def element_bytes(dtype: str) -> float:
    """Bytes of one element of a table's dtype; 16 bit unless known otherwise."""
    return float(_BYTES.get(dtype, _SIXTEEN_BIT))


def option(extra: str, name: str) -> str:
    """Value of ``name=value`` in an ``extra`` cell, "" if absent."""
    found = re.search(rf"(?:^|;){name}=([^;]*)", extra)
    return found.group(1) if found else ""


def traffic(
    op: str, rows: FloatArray, cols: FloatArray, size: float, extra: str, kernels: Mapping[str, int], separate: bool
) -> Traffic:
    """What ``op`` moves for rows x cols elements of ``size`` bytes.

    separate: the row's time covers every listed kernel, each with its own pass; otherwise only transpositions count.
    """
    n = rows * cols
    if op in _PLAIN:
        reads, writes, ops, exps = _PLAIN[op]
        if option(extra, "bcast"):
            reads = 1
        if op == "rope" and kernels and not {"BroadcastTo", "RepeatInterleaveV2"} & set(kernels):
            reads = 3  # sine and cosine tables arrive as wide as queries and keys
        result = Traffic(reads * n * size, writes * n * size, ops, exps)
    else:
        result = _quantiser(op, rows, cols, size, extra)
    return replace(result, passes=_extra_passes(op, kernels, separate))


def _extra_passes(op: str, kernels: Mapping[str, int], separate: bool) -> float:
    """Further passes over the tensor: rope transposes queries and keys apart, half of the rows each."""
    if op == "transpose":
        return 0.0
    passes = kernels.get("Transpose", 0) * (0.5 if op == "rope" else 1.0)
    if separate and not op.startswith("multi_add"):
        passes += sum(count * _SEPARATE_PASSES.get(name, 0.0) for name, count in kernels.items())
    return passes


def _quantiser(op: str, rows: FloatArray, cols: FloatArray, size: float, extra: str) -> Traffic:
    """Operators whose output has another width than their input, and the hyper-connection passes."""
    n = rows * cols
    scales = 4.0 * rows
    if op.startswith("quantize"):
        return Traffic(n * size, n + scales, 5, 0)
    if op.startswith("add_rmsnorm_quant"):
        return Traffic(2 * n * size, n * (size + 1) + scales, 10, 0)
    if op.startswith("multi_add_rmsnorm_quant"):
        adds = float(option(extra, "adds") or 1)
        return Traffic((2 * adds + 2) * n * size, n * ((adds + 1) * size + 1) + scales, 8 + adds, 0)
    if op == "dequant_silu_mul_quant":
        return Traffic(2 * n * size, n + scales, 10, 1)
    if op == "kv_rmsnorm_rope_cache":
        width = cols + float(option(extra, "rope") or 64)
        out = 1.0 if option(extra, "q") == "int8" else size
        copies = 2.0 if option(extra, "out_kv") == "1" else 1.0
        return Traffic(rows * width * size, rows * width * (out * copies), 10, 0)
    if op.startswith("mhc"):
        streams = float(option(extra, "hc_mult") or 4)  # cols spans all of them
        if op == "mhc_post":
            return Traffic(n * size * (1.0 + 1.0 / streams), n * size, 2 + 2 * streams, 0)
        return Traffic(n * size, n * size / streams, 4, 0)
    return Traffic(n * size, n * size, 4, 0)
