"""Grouped-query attention with optional window, sinks, query/key norms and output gate."""

from __future__ import annotations

import math

from simulator.models.builder import Builder, Context
from simulator.models.common import append, by_request, by_token, linear, norm, rope
from simulator.models.groups import each, join
from simulator.ops.attention import Attention
from simulator.ops.elementwise import SigmoidMul
from simulator.ops.norm import RMSNorm
from simulator.ops.views import Split
from simulator.profiles.model import Gqa


def attention(b: Builder, x: int, c: Context, window: bool) -> int:
    """x[T, h] -> [T, h]."""
    p = c.model.gqa
    if p is None:
        raise ValueError(f"{c.model.name}: a gqa layer needs a 'gqa' section")
    with b.at("attention_in", "attention"):
        q, k, v, gate = _project(b, x, c, p)
        with b.at("attention_in", "rope"):
            q, k = _normed(b, q, c, p, "q"), _normed(b, k, c, p, "k")
            q = by_request(b, "q_heads", q, c, -1, p.head_dim)
            k = by_request(b, "k_heads", k, c, -1, p.head_dim)
            v = by_request(b, "v_heads", v, c, -1, p.head_dim)
            rotated = round(p.head_dim * c.model.rope.share)
            q = rope(b, "q_rope", q, c, rotated, first=True)
            k = rope(b, "k_rope", k, c, rotated, first=True)
        with b.at("attention_in", "cache"):
            keys = each(b, c, lambda g, new: append(b, "k_append", new, _past(b, "k_cache", g, p)), k)
            values = each(b, c, lambda g, new: append(b, "v_append", new, _past(b, "v_cache", g, p)), v)
    with b.at("attention_core", "core"):
        op = Attention(window=p.window if window else 0, scale=1.0 / math.sqrt(p.head_dim))

        def core(g: Context, q: int, keys: int, values: int) -> int:
            sinks = (b.weight("sinks", p.heads, shard=(0, "heads")),) if p.sinks else ()
            return by_token(b, "attention_out", b.add("attention", op, q, keys, values, *sinks), g)

        out = join(b, c, each(b, c, core, q, keys, values))
        if gate is not None:
            out = b.add("output_gate", SigmoidMul(), out, gate)
    with b.at("attention_core", "attention"):
        return linear(b, "o_proj", out, c.model.hidden_size, split=(1, "heads"), bias=p.out_bias)


def _project(b: Builder, x: int, c: Context, p: Gqa) -> tuple[int, int, int, int | None]:
    """One fused projection: queries, [output gate,] keys, values."""
    q, kv = p.heads * p.head_dim, p.kv_heads * p.head_dim
    sizes = (q, q, kv, kv) if p.output_gate else (q, kv, kv)
    ways = (p.heads, p.heads, p.kv_heads, p.kv_heads) if p.output_gate else (p.heads, p.kv_heads, p.kv_heads)
    qkv = linear(b, "qkv", x, sum(sizes), split=(0, "heads"), bias=p.qkv_bias, blocks=sizes, ways=ways)
    pieces = b.add_many("qkv_split", Split(sizes), qkv)
    if p.output_gate:
        return pieces[0], pieces[2], pieces[3], pieces[1]
    return pieces[0], pieces[1], pieces[2], None


def _normed(b: Builder, x: int, c: Context, p: Gqa, name: str) -> int:
    if p.qk_norm == "none":
        return x
    if p.qk_norm == "head":
        return norm(b, f"{name}_norm", by_request(b, f"{name}_by_head", x, c, -1, p.head_dim), c.model.norm)
    count = p.heads if name == "q" else p.kv_heads
    width = count * p.head_dim
    w = b.weight(f"{name}_norm.weight", width, shard=(0, "heads"), blocks=(width,), ways=(count,))
    return b.add(f"{name}_norm", RMSNorm(eps=c.model.norm.eps), x, w)


def _past(b: Builder, name: str, c: Context, p: Gqa) -> int:
    shape = (c.step.batch, c.step.past_len, p.kv_heads, p.head_dim)
    return b.cache(name, *shape, shard=(2, "heads"), ways=p.kv_heads)
