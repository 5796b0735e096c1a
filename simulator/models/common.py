"""Small pieces every block uses: projections, norms, rotary embedding, cache writes."""

from __future__ import annotations

import math

from simulator.models.builder import Builder, Context
from simulator.ops.elementwise import Add
from simulator.ops.kv_cache import CacheAppend
from simulator.ops.linear import Linear
from simulator.ops.norm import AddRMSNorm, LayerNorm, RMSNorm
from simulator.ops.rope import Rope, RopeScaling
from simulator.ops.tensor import Dim
from simulator.ops.views import Reshape
from simulator.profiles import model as parts


def linear(
    b: Builder,
    name: str,
    x: int,
    n: int,
    *,
    split: tuple[int, str] | None = None,
    bias: bool = False,
    out_dtype: str = "bfloat16",
    weight_dtype: str = "bfloat16",
    blocks: tuple[int, ...] = (),
    ways: tuple[int, ...] = (),
) -> int:
    """x[.., k] -> [.., n]. split: (0, axis) column-parallel, (1, axis) row-parallel over that logical axis."""
    k = b.spec(x).shape[-1]
    w = b.weight(f"{name}.weight", n, k, dtype=weight_dtype, shard=split, blocks=blocks, ways=ways)
    if not bias:
        return b.add(name, Linear(out_dtype=out_dtype), x, w)
    column = split if split is not None and split[0] == 0 else None
    beta = b.weight(f"{name}.bias", n, shard=column, blocks=blocks if column else (), ways=ways if column else ())
    return b.add(name, Linear(out_dtype=out_dtype), x, w, beta)


def norm(b: Builder, name: str, x: int, config: parts.Norm, *, weight: bool = True) -> int:
    """Norm over the last axis."""
    width = b.spec(x).shape[-1]
    if config.kind == "layer":
        w, beta = b.weight(f"{name}.weight", width), b.weight(f"{name}.bias", width)
        return b.add(name, LayerNorm(eps=config.eps), x, w, beta)
    if not weight:
        return b.add(name, RMSNorm(eps=config.eps), x)
    return b.add(name, RMSNorm(eps=config.eps), x, b.weight(f"{name}.weight", width))


def add_norm(b: Builder, name: str, delta: int, residual: int, config: parts.Norm) -> tuple[int, int]:
    """(norm of delta + residual, delta + residual)."""
    if config.kind == "layer":
        total = b.add("add", Add(), delta, residual)
        return norm(b, name, total, config), total
    w = b.weight(f"{name}.weight", b.spec(delta).shape[-1])
    normed, total = b.add_many(name, AddRMSNorm(eps=config.eps), delta, residual, w)
    return normed, total


def rope(b: Builder, name: str, x: int, c: Context, dim: int, *, first: bool, interleaved: bool | None = None) -> int:
    """Rotates ``dim`` of the last axis at the positions of the new tokens; unchanged if the model has no rotary
    embedding.
    """
    r = c.model.rope
    if r.kind == "none" or dim == 0:
        return x
    pairs = r.interleaved if interleaved is None else interleaved
    return b.add(name, Rope(dim, r.theta, pairs, first, scaling=scaling(r)), x, c.positions)


def scaling(r: parts.Rope) -> RopeScaling:
    """Context-extension rule of the rotary embedding.

    YaRN scales rotated parts, or the softmax when the model says so.
    """
    if r.kind == "default":
        return RopeScaling()
    magnitude = 0.1 * math.log(r.factor) + 1.0 if r.kind == "yarn" and not r.softmax_scaling else 1.0
    return RopeScaling(r.kind, r.factor, r.original_context, r.beta_fast, r.beta_slow, r.truncate, magnitude=magnitude)


def append(b: Builder, name: str, new: int, past: int) -> int:
    """Cache with the new tokens behind the past ones."""
    return b.add(name, CacheAppend(), past, new)


def by_request(b: Builder, name: str, x: int, c: Context, *shape: Dim) -> int:
    """[T, ..] -> [B, q, shape]; one of shape may be -1."""
    return b.add(name, Reshape((c.step.batch, c.step.q_len, *shape)), x)


def by_token(b: Builder, name: str, x: int, c: Context) -> int:
    """[B, q, ..] -> [T, rest]."""
    return b.add(name, Reshape((c.step.tokens, -1)), x)
