"""Predicts sparse-attention rows (kernels and whole layers of V3.2, GLM-5 and V4): GPU rows here, other vendors
elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention import attention_cost
from simulator.devices.gpu.blocks import smooth_max
from simulator.devices.gpu.indexer import index_scores_cost
from simulator.devices.gpu.top_k import top_k_cost
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.validation.predict.dsa_layers import (
    SparseModel,
    Tokens,
    compressed_term,
    model_of,
    scores_term,
    sparse_term,
    top_k_terms,
)
from simulator.validation.predict.dsa_modules import layer_seconds
from simulator.validation.predict.gpu_groups import (
    Group,
    Index,
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
    "dsa_attn": "sparse_prefill",
    "dsa_indexer_logits": "logits",
    "dsa_indexer_logits_paged": "logits_paged",
    "dsv4_indexer_logits": "logits_paged",
    "dsa_topk": "top_k",
    "dsv4_hca_attn": "compressed",
    "dsv4_csa_attn": "compressed",
    "dsa_module_decode": "layer_decode",
    "dsa_module_prefill": "layer_prefill",
    "dsv4_csa_module_decode": "v4_layer_decode",
    "dsv4_csa_module_prefill": "v4_layer_prefill",
    "dsv4_hca_module_decode": "v4_layer_decode",
    "dsv4_hca_module_prefill": "v4_layer_prefill",
}

INDEXER = ("logits", "logits_paged", "top_k")

PADDED_HEADS = 128.0  # note h128pad: the kernel ran with this many heads
CAPTURED_BATCH = 512.0
FEW_HEADS = 32  # below, vLLM runs prompts over an FP8 cache with its decode kernel (MIN_HEADS_FOR_BF16_PREFILL)


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row of a sparse-attention table (columns: measurements/README.md)."""
    return by_vendor(rows, "dsa", lambda part: predict_groups(gpu_groups(part), len(part)))


def gpu_groups(rows: pd.DataFrame) -> Iterator[Group]:
    """Groups of NVIDIA rows by device, stack, kernel, formats, model and phase."""
    keys = pd.DataFrame(
        {
            "device": text(rows, "device"),
            "phase": [PHASES.get(op, "") for op in text(rows, "op")],
            "runtime": [runtime_of(fw) for fw in text(rows, "fw")],
            "kernel": text(rows, "kernel"),
            "kv_dtype": [canonical_format(d) for d in text(rows, "kv_dtype")],
            "gemm_dtype": [canonical_format(d) for d in text(rows, "gemm_dtype")],
            "model": text(rows, "model"),
            "compress": numbers(rows, "compress", 1.0),
            "idx_heads": numbers(rows, "idx_heads"),
            "topk": numbers(rows, "topk"),
            "padded": text(rows, "note").str.contains("h128pad"),
            "kv_shared": text(rows, "note").str.contains("kv_shared"),
            "mode": _modes(rows),
            "few_heads": np.where(numbers(rows, "heads") < FEW_HEADS, "true", "false"),
        }
    )
    for key, index in grouped(keys):
        if not key["phase"]:
            continue
        facts = {name: key[name] for name in ("phase", "kernel", "kv_dtype", "gemm_dtype", "mode", "few_heads")}
        padded = PADDED_HEADS if key["padded"] == "True" else None
        t = _tokens(rows.iloc[index], padded, key["kv_shared"] == "True")
        ratio = max(float(key["compress"]), 1.0)
        model = model_of(key["model"]).with_stated(float(key["idx_heads"]), float(key["topk"]))
        yield _group(index, key["device"], key["runtime"], facts, t, model, ratio)


def _modes(rows: pd.DataFrame) -> list[str]:
    """How each row was launched; from the largest captured batch on, SGLang decodes eagerly whatever the label says."""
    sglang = text(rows, "op").eq("dsa_module_decode") & text(rows, "fw").str.startswith("sglang")
    outgrown = sglang.to_numpy() & (numbers(rows, "batch") >= CAPTURED_BATCH)
    return ["eager" if out else mode for out, mode in zip(outgrown, text(rows, "mode"), strict=True)]


def _tokens(rows: pd.DataFrame, heads: float | None, kv_shared: bool) -> Tokens:
    count = numbers(rows, "heads") if heads is None else np.full(len(rows), heads)
    return Tokens(numbers(rows, "batch"), numbers(rows, "q_len"), numbers(rows, "past_len"), count, kv_shared)


def _group(
    index: Index, device: str, runtime: str, facts: dict[str, str], t: Tokens, model: SparseModel, ratio: float
) -> Group:
    phase, kv_dtype = facts["phase"], facts["kv_dtype"]
    if "layer" in phase:
        core = {**facts, "phase": _core_phase(phase, facts["kernel"])}
        seconds = layer_seconds(t, model, ratio, runtime, core)
        return Group(index, device, runtime, "dsa_layer", facts, seconds, core_facts=core, core_family="dsa")
    family = "indexer" if phase in INDEXER else "dsa"
    return Group(index, device, runtime, family, facts, _kernel_seconds(phase, kv_dtype, t, model, ratio))


def _core_phase(phase: str, kernel: str) -> str:
    if phase.startswith("v4"):
        return "compressed"
    if "dense_mha" in kernel:
        return "dense_prefill"
    return "sparse_decode" if phase.endswith("decode") else "sparse_prefill"


def _kernel_seconds(phase: str, kv_dtype: str, t: Tokens, model: SparseModel, ratio: float) -> Seconds:
    build: dict[str, Callable[[Gpu, Kernel], Cost]] = {
        "sparse_prefill": lambda g, k: attention_cost(_sparse(t, model, kv_dtype, k), g, k, warm=True),
        "compressed": lambda g, k: _compressed_cost(t, model, ratio, kv_dtype, g, k),
        "logits": lambda g, k: _scores(t, model, 1.0, False, g, k),
        "logits_paged": lambda g, k: _scores(t, model, ratio, True, g, k),
        "top_k": lambda g, k: _select(t, model, g, k),
    }
    cost = build[phase]

    def seconds(gpu: Gpu, kernel: Kernel) -> FloatArray:
        return np.asarray(cost(gpu, kernel).seconds, dtype=np.float64)

    return seconds


def _sparse(t: Tokens, model: SparseModel, kv_dtype: str, kernel: Kernel) -> Attention:
    narrow = kv_dtype == "fp8" and bool(kernel.traits.get("eight_bit_core", False))
    return sparse_term(t, model.top_k, "bfloat16", kernel.values.get("idle_slot", 0.0), narrow)


def _compressed(t: Tokens, model: SparseModel, ratio: float, kv_dtype: str, kernel: Kernel) -> Attention:
    narrow = kv_dtype == "fp8" and bool(kernel.traits.get("eight_bit_core", False))
    return compressed_term(t, model.top_k, ratio, kv_dtype, narrow)


def _compressed_cost(t: Tokens, model: SparseModel, ratio: float, kv_dtype: str, gpu: Gpu, kernel: Kernel) -> Cost:
    """The core, or the kernels that gather the cache request by request before a prompt's core."""
    core = attention_cost(_compressed(t, model, ratio, kv_dtype, kernel), gpu, kernel, warm=True)
    gather = np.where(t.q > 1, t.batch * kernel.values.get("request_fixed", 0.0), 0.0)
    return Cost(smooth_max(core.seconds, gather, gpu.efficiencies.attention_overlap))


def _scores(t: Tokens, model: SparseModel, ratio: float, paged: bool, gpu: Gpu, kernel: Kernel) -> Cost:
    term = scores_term(t, model.index_heads, model.index_dim, ratio, paged, t.kv_shared)
    return index_scores_cost(term, gpu, kernel, warm=True)


def _select(t: Tokens, model: SparseModel, gpu: Gpu, kernel: Kernel) -> Cost:
    searched, copied = top_k_terms(t, model.top_k)
    both = top_k_cost(searched, gpu, kernel, warm=True) + top_k_cost(copied, gpu, kernel, warm=True)
    return Cost(np.asarray(both.seconds) - kernel.values.get("launch_floor", 0.0))
