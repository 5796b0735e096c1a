"""Time of a whole sparse-attention layer: projections, indexer, selection, attention core, small kernels, host."""

from __future__ import annotations

from functools import partial

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention import attention_cost, padded_heads
from simulator.devices.gpu.indexer import index_scores_cost
from simulator.devices.gpu.module import host_seconds, module_cost
from simulator.devices.gpu.top_k import top_k_cost
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel, load_kernels
from simulator.validation.predict.dsa_layers import (
    WINDOW,
    SparseModel,
    Tokens,
    compressed_term,
    scores_term,
    sparse_activations,
    sparse_projections,
    sparse_term,
    top_k_terms,
)
from simulator.validation.predict.gpu_groups import Seconds
from simulator.validation.predict.mla_layers import core_term, cpu_factor, layer_products
from simulator.validation.predict.prediction import FloatArray


def layer_seconds(t: Tokens, model: SparseModel, ratio: float, runtime: str, core: dict[str, str]) -> Seconds:
    """Costs a layer of ``t`` on a GPU with the kernel of its attention core and layer entry."""
    cache: dict[str, tuple[Cost, FloatArray]] = {}
    indexed = not model.v4 or ratio < WINDOW
    long = (t.kv / ratio > model.top_k) & indexed & (core["phase"] != "dense_prefill")
    absorbed = core["phase"] != "dense_prefill"
    items = partial(sparse_projections, model, ratio=ratio, absorbed=absorbed)
    narrow = core["gemm_dtype"] != "bfloat16"
    quantised = float(narrow * sum(p.quantized for p in items(float(np.max(t.heads, initial=1.0)))))

    def fixed_parts(gpu: Gpu) -> tuple[Cost, FloatArray]:
        if gpu.name not in cache:
            products = layer_products(items, t.count, t.heads, gpu, runtime, core["gemm_dtype"])
            indexer = _indexer(t, model, ratio, gpu, runtime, core)
            cache[gpu.name] = (products, indexer)
        return cache[gpu.name]

    def seconds(gpu: Gpu, kernel: Kernel) -> FloatArray:
        products, indexer = fixed_parts(gpu)
        attention = attention_cost(_core(t, model, ratio, core, kernel), gpu, kernel, warm=True)
        fill = kernel.values.get("concat_bytes", 0.0) * _foreign_scores(t) / gpu.memory.bandwidth
        searched = np.where(long, indexer + kernel.values.get("long_floor", 0.0) + fill, 0.0)
        extra = Cost(np.where(indexed & bool(kernel.traits.get("always_searches", False)), indexer, searched))
        host = host_seconds(kernel, cpu_factor(gpu), t.batch, long, quantised)
        elements = sparse_activations(model, t, absorbed) + _padding(t, model, kernel)
        rows = Cost(t.count * kernel.values.get("token_block", 0.0) / gpu.core.sms)
        cost = module_cost([products, extra, attention + rows], gpu, kernel, elements, host)
        return np.asarray(cost.seconds, dtype=np.float64)

    return seconds


def _core(t: Tokens, model: SparseModel, ratio: float, core: dict[str, str], kernel: Kernel) -> Attention:
    narrow = core["kv_dtype"] == "fp8" and bool(kernel.traits.get("eight_bit_core", False))
    if core["phase"] == "dense_prefill":
        return core_term(model.layer, t.batch, t.q, t.kv, t.heads, "expanded", narrow)
    if model.v4:
        return compressed_term(t, model.top_k, ratio, core["kv_dtype"], narrow)
    return sparse_term(t, model.top_k, core["kv_dtype"], kernel.values.get("idle_slot", 0.0), narrow)


def _padding(t: Tokens, model: SparseModel, kernel: Kernel) -> FloatArray:
    """Elements of queries and outputs that are copied because the core runs with more heads than there are."""
    more = padded_heads(t.heads, kernel)
    return np.where(more > t.heads, t.count * more * (model.layer.stored + model.layer.latent), 0.0)


def _foreign_scores(t: Tokens) -> FloatArray:
    """Scores of queries against other requests' keys: a logits matrix over concatenated keys has to mask them."""
    return t.count * np.maximum(t.batch - 1.0, 0.0) * t.kv


def _indexer(t: Tokens, model: SparseModel, ratio: float, gpu: Gpu, runtime: str, core: dict[str, str]) -> FloatArray:
    """Logits and selection with the stack's kernels: paged in decode and over compressed keys, else contiguous."""
    table = load_kernels(runtime, "indexer", "nvidia")
    paged = ratio > 1 or core["phase"].endswith("decode")
    facts = {"kv_dtype": core["kv_dtype"], "generation": gpu.architecture}
    logits = table.select(gpu.architecture, phase="logits_paged" if paged else "logits", **facts)
    select = table.select(gpu.architecture, phase="top_k", **facts)
    scores = index_scores_cost(scores_term(t, model.index_heads, model.index_dim, ratio, paged), gpu, logits, warm=True)
    searched, copied = top_k_terms(t, model.top_k, ratio)
    chosen = top_k_cost(searched, gpu, select, warm=True) + top_k_cost(copied, gpu, select, warm=True)
    total = np.asarray(scores.seconds, dtype=np.float64) + np.asarray(chosen.seconds, dtype=np.float64)
    return np.asarray(total - select.values.get("launch_floor", 0.0), dtype=np.float64)
