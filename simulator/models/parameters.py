"""Exact counts of a model: parameters, linear FLOPs per token and cache bytes per token, read off its graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from simulator.models.build import describe
from simulator.models.formats import native, with_overrides
from simulator.models.graph import Graph, Value
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.ops.batched_linear import BatchedLinear
from simulator.ops.grouped_linear import GroupedLinear
from simulator.ops.linear import Linear
from simulator.passes.formats import formats
from simulator.profiles.model import Model


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameter counts. total: main layers, embedding and head. active: of one token (embedding and head included).

    matmul: active parameters that multiply (input embedding left out unless tied). mtp: multi-token-prediction
    modules, apart.
    """

    total: int
    active: int
    matmul: int
    mtp: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What ``show model`` prints. kv_bytes_per_token: growth of all caches per token of context."""

    total_params_b: float
    active_params_b: float
    linear_gflop_per_token: float
    kv_bytes_per_token: float
    kv_format: str


_LINEARS = (Linear, GroupedLinear, BatchedLinear)


def parameters(model: Model) -> Parameters:
    """Parameters of ``model`` by exact count over the weights of its graph."""
    graph, layers = _one_token(model)
    total = active = mtp = embedding = 0
    moe = model.moe
    for v in graph.values:
        if v.role != "weight" or v.spec.dtype == "int32":
            continue
        count = round(float(v.spec.elements)) * layers[layer_of(v)]
        used = count
        if moe is not None and v.shard is not None and v.shard[1] == "experts":
            used = count * moe.topk // moe.experts
        if layer_of(v) >= model.num_layers:
            mtp += count
            continue
        total, active = total + count, active + used
        if v.name == "embedding.weight" and not model.tie_embeddings:
            embedding = count
    return Parameters(total, active, active - embedding, mtp)


def linear_flops_per_token(model: Model) -> float:
    """FLOPs of all weight products for one token, head included, multi-token prediction left out."""
    graph, layers = _one_token(model)
    total = 0.0
    for node in graph.nodes:
        if isinstance(node.op, _LINEARS) and node.layer < model.num_layers:
            flops = node.op.work(graph.specs(node.inputs), graph.specs(node.outputs)).flops()
            total += float(flops) * layers[node.layer]
    return total


def cache_bytes_per_token(model: Model, kv_format: str = "") -> float:
    """Bytes every further token of context adds to the caches of all layers (fixed windows and states left out)."""
    choice = native(model)
    if kv_format:
        choice = with_overrides(choice, {"kv_cache": kv_format})
    graph, layers = _one_token(model)
    narrow = formats(graph, choice)
    total = 0.0
    for v in narrow.values:
        if v.role == "cache" and layer_of(v) < model.num_layers and not stops_growing(v, model):
            row = float(v.spec.with_shape(1, 1, *v.spec.shape[2:]).nbytes)
            total += row * layers[layer_of(v)] / tokens_per_entry(v)
    return total


def tokens_per_entry(cache: Value) -> int:
    """Tokens that share one entry of a cache (compressed caches carry the ratio in their name)."""
    tail = cache.name.rsplit(".", 1)[-1]
    return int(tail.split("@")[1]) if "@" in tail else 1


def summary(model: Model, kv_format: str = "") -> Summary:
    """Counts of ``model`` in the units people quote (1e9 parameters, 1e9 FLOP, bytes)."""
    count = parameters(model)
    return Summary(
        count.total / 1e9,
        count.active / 1e9,
        linear_flops_per_token(model) / 1e9,
        cache_bytes_per_token(model, kv_format),
        kv_format or model.formats.kv_cache,
    )


@lru_cache(maxsize=128)
def _one_token(model: Model) -> tuple[Graph, dict[int, int]]:
    """Folded graph of a one-token decode step, and how many layers each built layer stands for."""
    step = StepShape("decode", 1, 1, 2)
    graph = describe(model, step, Options(mtp_passes=model.mtp.layers if model.mtp else 0))
    layers = {b.layer: len(b.layers) for b in graph.bodies} | {-1: 1}
    layers |= {model.num_layers + i: 1 for i in range(model.mtp.layers if model.mtp else 0)}
    return graph, layers


def layer_of(v: Value) -> int:
    """Layer a weight or cache belongs to, -1 outside."""
    return int(v.name.split(".")[1]) if v.name.startswith("layers.") else -1


def stops_growing(v: Value, model: Model) -> bool:
    """Whether a cache stops growing: recurrent states, and windows."""
    tail = v.name.rsplit(".", 1)[-1]
    if "state" in tail or tail.startswith("window"):
        return True
    mixers = [layer.mixer for layer in model.sequence()]
    if layer_of(v) >= len(mixers):  # a multi-token-prediction module
        return model.mtp is not None and model.mtp.mixer == "gqa_window"
    return layer_of(v) >= 0 and mixers[layer_of(v)] == "gqa_window"
