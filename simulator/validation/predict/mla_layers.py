"""Whole multi-head-latent-attention layers: projections, absorption products, attention core, small kernels, host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.gpu.matmul import matmul_cost
from simulator.ops.work import Attention, Matmul
from simulator.profiles import ProfileError, load_kernels, load_system
from simulator.profiles.gpu import Gpu
from simulator.validation.predict.precision import Precision, precision_of
from simulator.validation.predict.prediction import FloatArray

BF16 = Precision("bfloat16", "bfloat16", "bf16")


@dataclass(frozen=True, slots=True)
class MlaShape:
    """Widths of a latent-attention layer (DeepSeek-V3 by default): operators.md section a."""

    hidden: int = 7168
    q_rank: int = 1536
    latent: int = 512
    rope: int = 64
    nope: int = 128
    v_dim: int = 128

    @property
    def stored(self) -> int:
        """Width of one cached vector."""
        return self.latent + self.rope


def core_term(
    shape: MlaShape,
    batch: FloatArray,
    q_len: FloatArray,
    kv_len: FloatArray,
    heads: FloatArray,
    form: str,
    eight_bit: bool,
) -> Attention:
    """The attention core: absorbed (one shared 576-wide vector) or expanded (192-wide keys, 128-wide values a head)."""
    cache, rate = ("fp8", "fp8") if eight_bit else ("bfloat16", "bf16")
    if form == "absorbed":
        return Attention(
            batch, q_len, kv_len, heads, 1, shape.stored, shape.latent, kv_dtype=cache, rate=rate, kv_shared=True
        )
    return Attention(batch, q_len, kv_len, heads, heads, shape.nope + shape.rope, shape.v_dim, rate=rate)


@dataclass(frozen=True, slots=True)
class Projection:
    """One product of a layer: out[tokens, n] per head, k reduced; ``batch`` independent heads."""

    n: float
    k: float
    batch: float = 1.0
    quantized: bool = True

    @property
    def parameters(self) -> float:
        """Weight elements."""
        return self.n * self.k * self.batch


def projections(shape: MlaShape, heads: float, absorbed: bool) -> Iterator[Projection]:
    """The products of one layer on a rank with ``heads`` heads; q_a and kv_a are fused and replicated."""
    yield Projection(shape.q_rank + shape.stored, shape.hidden)
    yield Projection(heads * (shape.nope + shape.rope), shape.q_rank)
    if absorbed:
        yield Projection(shape.latent, shape.nope, heads, quantized=False)
        yield Projection(shape.v_dim, shape.latent, heads, quantized=False)
    else:
        yield Projection(heads * (shape.nope + shape.v_dim), shape.latent)
    yield Projection(shape.hidden, heads * shape.v_dim)


def activation_elements(shape: MlaShape, tokens: FloatArray, heads: FloatArray, absorbed: bool) -> FloatArray:
    """Elements of the intermediate tensors of one layer: what norms, rotations, casts and copies pass over."""
    per_head = (shape.nope + shape.rope) + shape.v_dim
    per_head += (shape.stored + shape.latent) if absorbed else (shape.nope + shape.v_dim + shape.rope)
    return tokens * (2 * shape.hidden + shape.q_rank + shape.stored + heads * per_head)


def projections_cost(items: list[Projection], tokens: FloatArray, gpu: Gpu, runtime: str, gemm_dtype: str) -> Cost:
    """Cost of the products of a layer replayed as a whole: every weight is as cold as the layer's weights make it.

    busy["launch"]: launch floors and starts of the quantisation passes.
    """
    weight = precision_of(gemm_dtype) or BF16
    total = sum(p.parameters for p in items)
    table = load_kernels(runtime, "gemm", "nvidia")
    cost = Cost(np.zeros_like(tokens))
    for item in items:
        formats = weight if item.quantized else BF16
        dtype = gemm_dtype if item.quantized else "bfloat16"
        kernel = table.select(gpu.architecture, dtype=dtype, mode="graph")
        term = Matmul(
            tokens,
            item.n,
            item.k,
            formats.activation,
            formats.weight,
            rate=formats.rate,
            batch=item.batch,
            quantizes_a=item.quantized and dtype != "bfloat16",
        )
        part = matmul_cost(term, gpu, kernel, weight_copies=max(total / item.parameters, 1.0))
        start = kernel.values.get("quantize_start", 0.0) if term.quantizes_a else 0.0
        cost = cost + Cost(part.seconds, {"launch": part.busy["launch"] + start})
    return cost


def cpu_factor(gpu: Gpu) -> float:
    """Single-thread slowness of the CPU in the GPU's usual system (1 if that system is unknown)."""
    try:
        return float(load_system(gpu.default_system).host.cpu_factor)
    except ProfileError:
        return 1.0


def layer_products(
    items: Callable[[float], Iterable[Projection]],
    tokens: FloatArray,
    heads: FloatArray,
    gpu: Gpu,
    runtime: str,
    gemm_dtype: str,
) -> Cost:
    """``projections_cost`` of rows with different head counts; ``items`` lists the products of a rank with so many."""
    seconds, launch = np.zeros_like(tokens), np.zeros_like(tokens)
    for count in np.unique(heads):
        at = heads == count
        part = projections_cost(list(items(float(count))), tokens[at], gpu, runtime, gemm_dtype)
        seconds[at], launch[at] = part.seconds, part.busy["launch"]
    return Cost(seconds, {"launch": launch})
