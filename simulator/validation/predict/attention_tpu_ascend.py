"""Grouped-query attention on TPU and Ascend devices."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from simulator.devices.ascend.attention import attention_cost as ascend_cost
from simulator.devices.tpu.attention import attention_cost as tpu_cost
from simulator.ops.work import Attention
from simulator.profiles import Kernel
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.precision import precision_of
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import Device, Group, Seconds, classes, predict_groups, stack_of

_STEP = re.compile(r"^fa_v(\d+)")  # published ladder of schedules of one kernel


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row.

    Columns: device, unit, op, dtype, kv_dtype, batch, q_len, kv_len, heads, kv_heads, head_dim, window, fw,
    kernel.
    """
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of rows by device, operator, stack, kernel, formats and head width."""
    for key, index, part in classes(
        rows, "device", "unit", "op", "fw", "kernel", "dtype", "kv_dtype", "head_dim", "mode"
    ):
        if not key["op"].startswith("attention"):
            continue
        phase = "decode" if "decode" in key["op"] else "prefill"
        facts = {"phase": phase, "kernel": key["kernel"], "head_dim": key["head_dim"]}
        step = _STEP.search(key["kernel"])
        traits = {"refinement": int(step.group(1))} if step else {}
        seconds = _seconds(part, key)
        yield Group(index, key["device"], key["unit"], stack_of(key["fw"]), "attention", facts, seconds, traits)


def attention_term(rows: pd.DataFrame, key: dict[str, str]) -> Attention:
    """The work of equally typed rows; 8-bit products need both queries and cache in 8 bit."""
    query = precision_of(key["dtype"] or "bfloat16")
    cache = precision_of(key["kv_dtype"] or key["dtype"] or "bfloat16")
    q_dtype = query.activation if query else "bfloat16"
    kv_dtype = cache.activation if cache else "bfloat16"
    head = number(rows, "head_dim", 128.0)
    heads = number(rows, "heads", 1.0)
    return Attention(
        batch=number(rows, "batch", 1.0),
        q_len=number(rows, "q_len", 1.0),
        kv_len=number(rows, "kv_len", 1.0),
        heads=heads,
        kv_heads=np.where(number(rows, "kv_heads", 0.0) > 0, number(rows, "kv_heads", 0.0), heads),
        qk_dim=head,
        v_dim=head,
        causal="noncausal" not in key["op"],
        window=number(rows, "window", 0.0),
        q_dtype=q_dtype,
        kv_dtype=kv_dtype,
        rate=query.rate if query and query == cache else "bf16",
    )


def _seconds(rows: pd.DataFrame, key: dict[str, str]) -> Seconds:
    term = attention_term(rows, key)

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        cost = tpu_cost(term, device, kernel) if isinstance(device, Tpu) else ascend_cost(term, device, kernel)
        dispatch = kernel.values.get("host_dispatch", 0.0) if key["mode"] == "host" else 0.0
        return np.asarray(cost.seconds + dispatch, dtype=np.float64)

    return seconds
