"""Predicts latent-attention rows: cores, absorption products and whole layers on GPUs.

Other vendors in their module.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention import attention_cost
from simulator.devices.gpu.matmul import matmul_cost
from simulator.devices.gpu.module import host_seconds, module_cost
from simulator.ops.work import Matmul
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
from simulator.validation.predict.mla_layers import (
    BF16,
    MlaShape,
    activation_elements,
    core_term,
    cpu_factor,
    layer_products,
    projections,
)
from simulator.validation.predict.precision import precision_of
from simulator.validation.predict.prediction import FloatArray, Prediction

SHAPE = MlaShape()
PHASES = {
    "mla_decode": "decode",
    "mla_prefill": "prefill",
    "mla_absorbed_prefill": "absorbed",
    "mla_absorbed_prefill_noncausal": "absorbed",
    "mla_bmm_pre": "bmm_pre",
    "mla_bmm_post": "bmm_post",
    "mla_module_decode": "module_decode",
    "mla_module_prefill": "module_prefill",
}


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row of an MLA table (columns: measurements/README.md)."""
    return by_vendor(rows, "mla", lambda part: predict_groups(gpu_groups(part), len(part)))


def gpu_groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of NVIDIA rows by device, stack, kernel, formats and phase."""
    keys = pd.DataFrame(
        {
            "device": text(rows, "device"),
            "phase": [PHASES.get(op, "") for op in text(rows, "op")],
            "runtime": [runtime_of(fw) for fw in text(rows, "fw")],
            "kernel": text(rows, "kernel"),
            "dtype": [canonical_format(d) for d in text(rows, "dtype")],
            "kv_dtype": [canonical_format(d) for d in text(rows, "kv_dtype")],
            "gemm_dtype": [canonical_format(d) for d in text(rows, "gemm_dtype")],
        }
    )
    for key, index in grouped(keys):
        phase, device, runtime = key["phase"], key["device"], key["runtime"]
        if not phase:
            continue
        facts = {name: key[name] for name in ("phase", "kernel", "dtype", "kv_dtype", "gemm_dtype")}
        facts["phase"] = "prefill" if phase == "absorbed" else phase
        part = rows.iloc[index]
        if phase.startswith("bmm"):
            yield Group(index, device, runtime, "mla", facts, _bmm(part, phase, key["gemm_dtype"]))
        elif phase.startswith("module"):
            core = {**facts, "phase": phase.removeprefix("module_")}
            yield Group(index, device, runtime, "mla", facts, _layer(part, runtime, core), core_facts=core)
        else:
            narrow = "fp8" in (key["dtype"], key["kv_dtype"])
            yield Group(index, device, runtime, "mla", facts, _core(part, phase, narrow))


def _dims(rows: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    return numbers(rows, "batch"), numbers(rows, "q_len"), numbers(rows, "kv_len"), numbers(rows, "heads")


def _form(kernel: Kernel, phase: str) -> str:
    if phase == "absorbed":
        return phase
    return str(kernel.traits.get("form", "absorbed" if phase.endswith("decode") else "expanded"))


def _core(rows: pd.DataFrame, phase: str, eight_bit: bool) -> Seconds:
    dims = _dims(rows)

    def seconds(gpu: Gpu, kernel: Kernel) -> FloatArray:
        narrow = eight_bit and bool(kernel.traits.get("eight_bit_core", True))
        term = core_term(SHAPE, *dims, _form(kernel, phase), narrow)
        return np.asarray(attention_cost(term, gpu, kernel, warm=True).seconds, dtype=np.float64)

    return seconds


def _bmm(rows: pd.DataFrame, phase: str, gemm_dtype: str) -> Seconds:
    batch, _, _, heads = _dims(rows)
    n, k = (SHAPE.latent, SHAPE.nope) if phase == "bmm_pre" else (SHAPE.v_dim, SHAPE.latent)
    formats = precision_of(gemm_dtype) or BF16

    def seconds(gpu: Gpu, kernel: Kernel) -> FloatArray:
        narrow = formats.rate != "bf16" and bool(kernel.traits.get("eight_bit_core", True))
        a, b, rate = (formats.activation, formats.weight, formats.rate) if narrow else ("bfloat16", "bfloat16", "bf16")
        quantizes = bool(kernel.traits.get("quantizes", False)) and formats.rate != "bf16"
        term = Matmul(batch, n, k, a, b, rate=rate, batch=heads, quantizes_a=quantizes)
        return np.asarray(matmul_cost(term, gpu, kernel, weight_copies=1.0).seconds, dtype=np.float64)

    return seconds


def _layer(rows: pd.DataFrame, runtime: str, core: dict[str, str]) -> Seconds:
    batch, q_len, kv_len, heads = _dims(rows)
    tokens = batch * q_len
    cache: dict[tuple[str, bool], Cost] = {}

    def products(gpu: Gpu, absorbed: bool) -> Cost:
        key = (gpu.name, absorbed)
        if key not in cache:
            items = partial(projections, SHAPE, absorbed=absorbed)
            cache[key] = layer_products(items, tokens, heads, gpu, runtime, core["gemm_dtype"])
        return cache[key]

    def seconds(gpu: Gpu, kernel: Kernel) -> FloatArray:
        form = _form(kernel, core["phase"])
        narrow = "fp8" in (core["dtype"], core["kv_dtype"]) and bool(kernel.traits.get("eight_bit_core", True))
        attention = attention_cost(core_term(SHAPE, batch, q_len, kv_len, heads, form, narrow), gpu, kernel, warm=True)
        absorbed = form == "absorbed"
        elements = activation_elements(SHAPE, tokens, heads, absorbed)
        parts = [products(gpu, absorbed), attention]
        host = host_seconds(kernel, cpu_factor(gpu))
        return np.asarray(module_cost(parts, gpu, kernel, elements, host).seconds, dtype=np.float64)

    return seconds
