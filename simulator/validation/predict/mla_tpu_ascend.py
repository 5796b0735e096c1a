"""Absorbed MLA attention and the fused projections before it on TPU and Ascend devices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.devices.ascend.attention import attention_cost as ascend_attention
from simulator.devices.ascend.prolog import prolog_cost
from simulator.devices.tpu.attention import attention_cost as tpu_attention
from simulator.devices.tpu.matmul import matmul_cost as tpu_matmul
from simulator.ops.work import Attention, Matmul
from simulator.profiles import Kernel
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.precision import Precision, precision_of
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of

# DeepSeek-V3 attention: hidden and latent widths (DeepSeek-V3 report, section 4.2)
HIDDEN, Q_RANK, LATENT, ROPE, NOPE, VALUE = 7168, 1536, 512, 64, 128, 128
ATTENTION = ("mla_decode", "mla_absorbed_prefill", "mla_absorbed_prefill_noncausal")
_16BIT = Precision("bfloat16", "bfloat16", "bf16")


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row.

    Columns: device, unit, op, dtype, kv_dtype, gemm_dtype, batch, q_len, kv_len, heads, fw, kernel.
    """
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, operator, stack, kernel and formats."""
    columns = ("device", "unit", "op", "fw", "kernel", "dtype", "kv_dtype", "gemm_dtype")
    for key, index, part in classes(rows, *columns):
        if key["op"] == "mla_prolog":
            seconds = _prolog(part, precision_of(key["gemm_dtype"] or key["dtype"] or "bfloat16") or _16BIT)
        elif key["op"] in ATTENTION:
            seconds = _attention(part, key)
        else:
            continue
        facts = {"op": key["op"], "kernel": key["kernel"]}
        yield Group(index, key["device"], key["unit"], stack_of(key["fw"]), "mla", facts, seconds)


def _attention(rows: pd.DataFrame, key: dict[str, str]) -> Seconds:
    query = precision_of(key["dtype"] or "bfloat16") or _16BIT
    cache = precision_of(key["kv_dtype"] or key["dtype"] or "bfloat16") or _16BIT
    term = Attention(
        batch=number(rows, "batch", 1.0),
        q_len=number(rows, "q_len", 1.0),
        kv_len=number(rows, "kv_len", 1.0),
        heads=number(rows, "heads", 128.0),
        kv_heads=1,
        qk_dim=LATENT + ROPE,
        v_dim=LATENT,
        causal="noncausal" not in key["op"],
        q_dtype=query.activation,
        kv_dtype=cache.activation,
        rate=query.rate if query == cache else "bf16",
        kv_shared=True,
    )

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        cost = (
            tpu_attention(term, device, kernel) if isinstance(device, Tpu) else ascend_attention(term, device, kernel)
        )
        return np.asarray(cost.seconds, dtype=np.float64)

    return seconds


def prolog_stages(tokens: FloatArray, heads: FloatArray, precision: Precision) -> tuple[Matmul, Matmul, Matmul]:
    """Products of the fused projections: down (query and latent), query up, and the absorbed key product per head."""
    a, b, rate = precision.activation, precision.weight, precision.rate
    down = Matmul(tokens, Q_RANK + LATENT + ROPE, HIDDEN, a, b, "bfloat16", rate)
    up = Matmul(tokens, heads * (NOPE + ROPE), Q_RANK, a, b, "bfloat16", rate)
    absorbed = Matmul(tokens, LATENT, NOPE, batch=heads)
    return down, up, absorbed


def _prolog(rows: pd.DataFrame, precision: Precision) -> Seconds:
    tokens = number(rows, "batch", 1.0) * number(rows, "q_len", 1.0)
    stages = prolog_stages(tokens, number(rows, "heads", 128.0), precision)

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        if isinstance(device, Tpu):
            total = sum((tpu_matmul(stage, device, kernel).seconds for stage in stages), start=np.zeros(len(tokens)))
            return np.asarray(total, dtype=np.float64)
        return np.asarray(prolog_cost(stages, device, kernel).seconds, dtype=np.float64)

    return seconds
