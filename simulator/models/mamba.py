"""Mamba-2 mixer: one projection, short convolution, state-space scan, gated norm (Nemotron-H family).

Source: arXiv 2405.21060; transformers nemotron_h module for the order of the projection.
"""

from __future__ import annotations

from simulator.models.builder import Builder, Context
from simulator.models.common import by_request, by_token, linear
from simulator.models.groups import each, join
from simulator.ops.gated_norm import GatedRMSNorm
from simulator.ops.short_conv import ShortConv
from simulator.ops.state_space import StateSpaceScan
from simulator.ops.views import Split
from simulator.profiles.model import Mamba

CHUNK = 256  # tokens per chunk of the published prefill kernels


def mixer(b: Builder, x: int, c: Context) -> int:
    """x[T, h] -> [T, h]."""
    p = c.model.mamba
    if p is None:
        raise ValueError(f"{c.model.name}: a mamba layer needs a 'mamba' section")
    inner, shared = p.heads * p.head_dim, p.groups * p.state
    sizes = (inner, inner, shared, shared, p.heads)
    ways = (p.groups, p.groups, p.groups, p.groups, p.groups)
    with b.at("attention_in", "attention"):
        mixed = linear(b, "in_proj", x, sum(sizes), split=(0, "heads"), blocks=sizes, ways=ways)
        z, xbc, dt = b.add_many("in_split", Split((inner, inner + 2 * shared, p.heads)), mixed)

    def core(g: Context, z: int, xbc: int, dt: int) -> int:
        out = _scan(b, g, p, xbc, dt)
        z = by_request(b, "z_groups", z, g, -1, inner // p.groups)
        out = by_request(b, "mixer_groups", by_token(b, "scan_out", out, g), g, -1, inner // p.groups)
        w = b.weight("mixer_norm.weight", p.groups, inner // p.groups, shard=(0, "heads"))
        out = b.add("mixer_norm", GatedRMSNorm(c.model.norm.eps, gate_first=True), out, z, w)
        return by_token(b, "mixer_out", out, g)

    with b.at("attention_core", "core"):
        out = join(b, c, each(b, c, core, z, xbc, dt))
    with b.at("attention_core", "attention"):
        return linear(b, "o_proj", out, c.model.hidden_size, split=(1, "heads"))


def _scan(b: Builder, c: Context, p: Mamba, xbc: int, dt: int) -> int:
    inner, shared = p.heads * p.head_dim, p.groups * p.state
    sizes, ways = (inner, shared, shared), (p.groups,) * 3
    x = by_request(b, "conv_in", xbc, c, -1)
    w = b.weight("conv.weight", sum(sizes), p.conv_kernel, shard=(0, "heads"), blocks=sizes, ways=ways)
    state = b.cache_blocks(
        "conv_state", c.step.batch, p.conv_kernel - 1, sum(sizes), shard=(2, "heads"), blocks=sizes, ways=ways
    )
    mixed, _ = b.add_many("conv", ShortConv(), x, w, state)
    value, key, query = b.add_many("conv_split", Split(sizes), mixed)
    value = by_request(b, "x_heads", value, c, -1, p.head_dim)
    key = by_request(b, "b_groups", key, c, -1, p.state)
    query = by_request(b, "c_groups", query, c, -1, p.state)
    dt = by_request(b, "dt", dt, c, -1)
    scalars = [b.weight(n, p.heads, dtype="fp32", shard=(0, "heads")) for n in ("decay_log", "skip", "dt_bias")]
    shape = (c.step.batch, p.heads, p.head_dim, p.state)
    state = b.cache("recurrent_state", *shape, shard=(1, "heads"), ways=p.heads)
    op = StateSpaceScan(CHUNK if c.prefill else 0)
    return b.add_many("scan", op, value, dt, key, query, *scalars, state)[0]
