"""Predicts grouped-query attention rows: GPU rows here, other vendors in their own module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from simulator.devices.gpu.attention import attention_cost
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.validation.predict.gpu_groups import (
    Group,
    Seconds,
    by_vendor,
    canonical_format,
    grouped,
    numbers,
    predict_groups,
    runtime_of,
    text,
)
from simulator.validation.predict.prediction import FloatArray, Prediction

PHASES = {
    "attention_decode_gqa": "decode",
    "attention_prefill_gqa": "prefill",
    "attention_prefill_noncausal": "prefill_noncausal",
}


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row of an attention table (columns: measurements/README.md)."""
    return by_vendor(rows, "attention", lambda part: predict_groups(gpu_groups(part), len(part)))


def gpu_groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of NVIDIA rows by device, stack, kernel, formats and phase."""
    keys = pd.DataFrame(
        {
            "device": text(rows, "device"),
            "phase": [_phase(op, kernel) for op, kernel in zip(text(rows, "op"), text(rows, "kernel"), strict=True)],
            "runtime": [runtime_of(fw) for fw in text(rows, "fw")],
            "kernel": text(rows, "kernel"),
            "dtype": [canonical_format(d) for d in text(rows, "dtype")],
            "kv_dtype": [canonical_format(d) for d in text(rows, "kv_dtype")],
            "group": np.where(numbers(rows, "heads") == numbers(rows, "kv_heads"), "single", "shared"),
        }
    )
    for key, index in grouped(keys):
        phase = key["phase"]
        if not phase:
            continue
        facts = {name: key[name] for name in ("kernel", "dtype", "kv_dtype", "group")}
        term = attention_term(rows.iloc[index], phase, key["dtype"], key["kv_dtype"])
        facts["phase"] = phase.split("_")[0]
        yield Group(index, key["device"], key["runtime"], "attention", facts, _seconds(term, key["kv_dtype"] == "fp8"))


def _phase(op: str, kernel: str) -> str:
    """Decode kernels also serve one-token prefills of stacks that dispatch by query length."""
    return "decode" if "trtllmde" in kernel else PHASES.get(op, "")


def attention_term(rows: pd.DataFrame, phase: str, dtype: str, kv_dtype: str) -> Attention:
    """The work of equally typed rows. Decode products run at the cache's rate, prefill products at the queries'."""
    eight_bit = "fp8" in (dtype, kv_dtype) if phase == "decode" else dtype == "fp8"
    cache = kv_dtype if phase == "decode" or dtype == "fp8" else dtype
    head = numbers(rows, "head_dim", 128.0)
    return Attention(
        batch=numbers(rows, "batch"),
        q_len=numbers(rows, "q_len"),
        kv_len=numbers(rows, "kv_len"),
        heads=numbers(rows, "heads"),
        kv_heads=numbers(rows, "kv_heads"),
        qk_dim=head,
        v_dim=head,
        causal=not phase.endswith("noncausal"),
        window=numbers(rows, "window"),
        q_dtype=dtype,
        kv_dtype=cache,
        rate="fp8" if eight_bit else "bf16",
    )


def _seconds(term: Attention, eight_bit_cache: bool) -> Seconds:
    def seconds(gpu: Gpu, kernel: Kernel) -> FloatArray:
        # some stacks cast the queries to the cache's format and multiply in 8 bit
        narrow = eight_bit_cache and bool(kernel.traits.get("eight_bit_core", False))
        work = replace(term, rate="fp8") if narrow else term
        return np.asarray(attention_cost(work, gpu, kernel, warm=True).seconds, dtype=np.float64)

    return seconds
