"""Bytes and operations per element of the vector operators in elementwise tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from simulator.validation.predict.prediction import FloatArray

_BYTES = {"fp32": 4, "int32": 4, "int64": 8, "int16": 2, "int8": 1, "uint8": 1, "bool": 1, "fp8": 1, "fp64": 8}
_SIXTEEN_BIT = 2.0

# operator -> (reads, writes) in tensors of rows x cols, (vector operations, transcendentals) per element
_PLAIN: dict[str, tuple[float, float, float, float]] = {
    "sigmoid": (1, 1, 3, 1),  # negate, add, divide
    "exp": (1, 1, 2, 1),  # scale and shift before
    "gelu": (1, 1, 7, 1),  # cubic, scale, add, divide
    "relu": (1, 1, 1, 0),
    "maximum": (2, 1, 1, 0),
    "add": (2, 1, 1, 0),
    "mul": (2, 1, 1, 0),
    "softmax": (1, 1, 4, 1),
    "layernorm": (1, 1, 6, 0),
    "rmsnorm": (1, 1, 4, 0),
    "silu_mul": (2, 1, 4, 1),
    "rope": (1, 1, 3, 0),
    "transpose": (1, 1, 0, 0),
    "arg_max": (1, 0, 2, 0),
    "cross_entropy": (1, 1, 4, 1),
    "moe_gating_topk_softmax": (1, 1, 5, 1),
    "mhc_sinkhorn": (1, 1, 80, 0),
}
# operators whose arithmetic needs no wider format than they are given
_IN_FORMAT = frozenset({"relu", "maximum", "arg_max", "transpose"})
# elementwise kernels listed beside the main one: each passes over the tensor its neighbour left in L2
# (scalar arithmetic in place, half of it on a tensor of scalars, counts half)
_HELPERS = {"Mul": 0.5, "Muls": 0.5, "Add": 0.5, "Slice": 1.0}
FUSABLE = frozenset({*_HELPERS, "Cast"})


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Bytes read and written in total, vector operations and transcendentals per element."""

    read: FloatArray
    written: FloatArray
    ops: float
    exps: float


def element_bytes(dtype: str) -> float:
    """Bytes of one element of a table's dtype; 16 bit unless known otherwise."""
    return float(_BYTES.get(dtype, _SIXTEEN_BIT))


def option(extra: str, name: str) -> str:
    """Value of ``name=value`` in an ``extra`` cell, "" if absent."""
    found = re.search(rf"(?:^|;){name}=([^;]*)", extra)
    return found.group(1) if found else ""


def traffic(
    op: str, rows: FloatArray, cols: FloatArray, size: float, extra: str, kernels: Mapping[str, int]
) -> Traffic:
    """What ``op`` moves and computes for rows x cols elements of ``size`` bytes."""
    n = rows * cols
    if op not in _PLAIN:
        return _quantiser(op, rows, cols, size, extra)
    reads, writes, ops, exps = _PLAIN[op]
    if option(extra, "bcast"):
        reads = 1
    if op == "rope" and kernels and not {"BroadcastTo", "RepeatInterleaveV2"} & set(kernels):
        reads = 3  # sine and cosine tables arrive as wide as queries and keys
    return Traffic(reads * n * size, writes * n * size, ops, exps)


def casts(op: str, dtype: str, extra: str = "") -> float:
    """Conversions per element to and from the fp32 of the arithmetic; fp32 needs none, integers only what they state."""
    if element_bytes(dtype) != _SIXTEEN_BIT or (op in _IN_FORMAT and dtype != "bfloat16"):
        return 0.0
    if op.startswith("multi_add"):
        return 3.0 + (3.0 * float(option(extra, "adds") or 1) if dtype == "bfloat16" else 0.0)
    if op in _PLAIN:
        reads, writes, _, _ = _PLAIN[op]
        return min(reads, 2.0) + writes
    if op.startswith("mhc"):
        return 1.0 + 1.0 / float(option(extra, "hc_mult") or 4) + (op == "mhc_post")
    return {"quantize_int8_dynamic": 1.0, "add_rmsnorm_quant_int8": 3.0, "add_rmsnorm_quant_mx": 3.0}.get(op, 2.0)


def launches(op: str, kernels: Mapping[str, int], *, fused: bool) -> int:
    """Kernels that run one after the other. fused: chains of elementwise kernels run as one."""
    folded = fused and not op.startswith("multi_add")
    return max(1, sum(count for name, count in kernels.items() if not (folded and name in FUSABLE)))


def helper_passes(op: str, kernels: Mapping[str, int], *, fused: bool) -> float:
    """Further passes over the tensor: rope transposes queries and keys apart, half of the rows each."""
    if op == "transpose" or op.startswith("multi_add"):
        return 0.0
    passes = kernels.get("Transpose", 0) * (0.5 if op == "rope" else 1.0)
    return passes + (0.0 if fused else sum(kernels.get(k, 0) * part for k, part in _HELPERS.items()))


def _quantiser(op: str, rows: FloatArray, cols: FloatArray, size: float, extra: str) -> Traffic:
    """Operators whose output has another width than their input, and the hyper-connection passes."""
    n = rows * cols
    scales = 4.0 * rows
    if op.startswith("quantize"):
        return Traffic(n * size, n + scales, 6, 0)  # absolute, maximum, scale, three conversions
    if op.startswith("add_rmsnorm_quant"):
        return Traffic(2 * n * size, n * (size + 1) + scales, 11, 0)
    if op.startswith("multi_add_rmsnorm_quant"):
        adds = float(option(extra, "adds") or 1)
        return Traffic((2 * adds + 2) * n * size, n * ((adds + 1) * size + 1) + scales, 10 + adds, 0)
    if op == "dequant_silu_mul_quant":
        # both halves: conversion, two scales spread over the row first; then gate, product and quantiser
        return Traffic(2 * n * size, n + scales, 34 if size == _BYTES["int32"] else 22, 2)
    if op == "kv_rmsnorm_rope_cache":
        width = cols + float(option(extra, "rope") or 64)
        out = 1.0 if option(extra, "q") == "int8" else size
        copies = 2.0 if option(extra, "out_kv") == "1" else 1.0
        return Traffic(rows * width * size, rows * width * (out * copies), 7 + (3 if out == 1 else 0), 0)
    if op.startswith("mhc"):
        return _hyper_connection(op, n, size, float(option(extra, "hc_mult") or 4))
    return Traffic(n * size, n * size, 4, 0)


def _hyper_connection(op: str, n: FloatArray, size: float, streams: float) -> Traffic:
    """Residual streams mixed after a layer, or projected on their mixing weights and mixed before it; n: all streams."""
    if op == "mhc_post":
        return Traffic(n * size * (1.0 + 1.0 / streams), n * size, 2 + 2 * streams, 0)
    projected = 2.0 * streams + streams * streams  # weights per token, a product and a sum each
    return Traffic(n * size, n * size / streams, 6 + 2 * projected, 0)
