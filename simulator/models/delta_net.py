"""Gated delta-rule mixer: projections, short convolution, recurrence, gated norm (Qwen3-Next, Qwen3.5).

Source: transformers qwen3_next module (fused projections, convolution over queries, keys and values); arXiv 2412.06464.
"""

from __future__ import annotations

from simulator.models.builder import Builder, Context
from simulator.models.common import by_request, by_token, linear
from simulator.models.groups import each, join
from simulator.ops.gated_delta import GatedDeltaRule
from simulator.ops.gated_norm import GatedRMSNorm
from simulator.ops.short_conv import ShortConv
from simulator.ops.views import Split
from simulator.profiles.model import DeltaNet

CHUNK = 64  # tokens per chunk of the published prefill kernels


def mixer(b: Builder, x: int, c: Context) -> int:
    """x[T, h] -> [T, h]."""
    p = c.model.delta_net
    if p is None:
        raise ValueError(f"{c.model.name}: a delta_net layer needs a 'delta_net' section")
    keys, values = p.key_heads * p.key_dim, p.value_heads * p.value_dim
    sizes, ways = (keys, keys, values, values), (p.key_heads, p.key_heads, p.value_heads, p.value_heads)
    with b.at("attention_in", "attention"):
        mixed = linear(b, "qkvz", x, sum(sizes), split=(0, "heads"), blocks=sizes, ways=ways)
        qkv, z = b.add_many("qkvz_split", Split((2 * keys + values, values)), mixed)
    with b.at("attention_in", "gate"):
        pair, pair_ways = (p.value_heads,) * 2, (p.value_heads,) * 2
        ab = linear(b, "ab", x, 2 * p.value_heads, split=(0, "heads"), blocks=pair, ways=pair_ways)
        decay, write = b.add_many("ab_split", Split(pair), ab)
        decay, write = by_request(b, "decay", decay, c, -1), by_request(b, "write", write, c, -1)

    def core(g: Context, qkv: int, z: int, decay: int, write: int) -> int:
        q, k, v = _convolved(b, qkv, g, sizes[:3], ways[:3], p.conv_kernel)
        q, k = (by_request(b, f"{n}_heads", t, g, -1, p.key_dim) for n, t in (("q", q), ("k", k)))
        v = by_request(b, "v_heads", v, g, -1, p.value_dim)
        out = _rule(b, g, p, q, k, v, decay, write)
        z = by_request(b, "z_heads", z, g, -1, p.value_dim)
        w = b.weight("mixer_norm.weight", p.value_dim)
        return by_token(b, "mixer_out", b.add("mixer_norm", GatedRMSNorm(c.model.norm.eps), out, z, w), g)

    with b.at("attention_core", "core"):
        out = join(b, c, each(b, c, core, qkv, z, decay, write))
    with b.at("attention_core", "attention"):
        return linear(b, "o_proj", out, c.model.hidden_size, split=(1, "heads"))


def _rule(b: Builder, c: Context, p: DeltaNet, q: int, k: int, v: int, decay: int, write: int) -> int:
    log = b.weight("decay_log", p.value_heads, dtype="fp32", shard=(0, "heads"))
    bias = b.weight("decay_bias", p.value_heads, dtype="fp32", shard=(0, "heads"))
    shape = (c.step.batch, p.value_heads, p.key_dim, p.value_dim)
    state = b.cache("recurrent_state", *shape, shard=(1, "heads"), ways=p.value_heads)
    op = GatedDeltaRule(CHUNK if c.prefill else 0)
    return b.add_many("delta_rule", op, q, k, v, decay, write, log, bias, state)[0]


def _convolved(
    b: Builder, x: int, c: Context, sizes: tuple[int, ...], ways: tuple[int, ...], kernel: int
) -> tuple[int, ...]:
    x = by_request(b, "conv_in", x, c, -1)
    width = sum(sizes)
    w = b.weight("conv.weight", width, kernel, shard=(0, "heads"), blocks=sizes, ways=ways)
    state = b.cache_blocks("conv_state", c.step.batch, kernel - 1, width, shard=(2, "heads"), blocks=sizes, ways=ways)
    mixed, _ = b.add_many("conv", ShortConv(), x, w, state)
    return b.add_many("conv_split", Split(sizes), mixed)
