"""Multi-head latent attention: expanded (MHA) form for prefill, absorbed (MQA) form for decode and sparse attention.

Both forms use the same weights; the absorbed form reads W_UK and W_UV as views of kv_b.
Source: DeepSeek-V2 report (arXiv 2405.04434) section 2.1; DeepSeek-V3.2 report appendix A for when each form runs.
"""

from __future__ import annotations

import math

from simulator.models.builder import Builder, Context
from simulator.models.common import append, by_request, by_token, linear, norm, rope
from simulator.models.dsa import select_keys
from simulator.models.groups import PerGroup, each, join
from simulator.ops.attention import Attention
from simulator.ops.batched_linear import BatchedLinear
from simulator.ops.mla import MlaAbsorbedAttention
from simulator.ops.sparse_attention import IndexMaskedAttention, SparseMlaAttention
from simulator.ops.views import Concat, Expand, Reshape, Split, Transpose
from simulator.profiles.model import Mla, Model


def attention(b: Builder, x: int, c: Context, selection: PerGroup, mixer: str) -> tuple[int, PerGroup]:
    """x[T, h] -> (output [T, h], selected keys of sparse attention for each group of requests, () without)."""
    p = _part(c.model)
    with b.at("attention_in", "attention"):
        latent = _query_latent(b, x, c, p)
        q = linear(b, "q_b", latent, p.heads * (p.nope_dim + p.rope_dim), split=(0, "heads"))
        q = by_request(b, "q_heads", q, c, -1, p.nope_dim + p.rope_dim)
        with b.at("attention_in", "cache"):
            cache = _write_cache(b, x, c, p)
        with b.at("attention_in", "rope"):
            q = _rope_queries(b, q, c, p)
        if mixer == "mla_dsa":
            selection = select_keys(b, x, latent, c)

    def core(g: Context, q: int, cache: int, *keys: int) -> int:
        form = _absorbed if _absorbs(g, mixer) else _expanded
        return form(b, q, cache, keys[0] if keys else None, g, p)

    with b.at("attention_core", "core"):
        out = join(b, c, each(b, c, core, q, cache, *((selection,) if mixer.startswith("mla_dsa") else ())))
    with b.at("attention_core", "attention"):
        return linear(b, "o_proj", out, c.model.hidden_size, split=(1, "heads")), selection


def softmax_scale(model: Model, dim: int) -> float:
    """1 / sqrt(dim), times the YaRN factor (0.1 ln(factor) + 1) ** 2. Source: DeepSeek-V3 inference code, mscale."""
    scale = 1.0 / math.sqrt(dim)
    if model.rope.kind == "yarn" and model.rope.softmax_scaling:
        scale *= (0.1 * math.log(model.rope.factor) + 1.0) ** 2
    return scale


def _part(model: Model) -> Mla:
    if model.mla is None:
        raise ValueError(f"{model.name}: an mla layer needs an 'mla' section")
    return model.mla


def _absorbs(c: Context, mixer: str) -> bool:
    if not c.prefill or c.options.absorbed_prefill:
        return True
    return mixer.startswith("mla_dsa") and not masked(c)


def masked(c: Context) -> bool:
    """Whether sparse attention runs this prefill as masked dense attention.

    ValueError if a sweep crosses the threshold.
    """
    below = c.options.masked_mha_below
    if not c.prefill or below <= 0:
        return False
    short = c.step.kv_len <= below
    if short is True or short is False:
        return short
    if short.all() != short.any():
        raise ValueError(f"kv_len crosses masked_mha_below={below} inside one sweep axis; build the two sides apart")
    return bool(short.all())


def _query_latent(b: Builder, x: int, c: Context, p: Mla) -> int:
    if p.q_rank == 0:
        return x
    return norm(b, "q_norm", linear(b, "q_a", x, p.q_rank), c.model.norm)


def _rope_queries(b: Builder, q: int, c: Context, p: Mla) -> int:
    return rope(b, "q_rope", q, c, p.rope_dim, first=False)


def _write_cache(b: Builder, x: int, c: Context, p: Mla) -> PerGroup:
    """Latent (normed) and rotated shared key of the new tokens, behind the cached ones: [B, L, c + dr] of each group."""
    width = p.kv_rank + p.rope_dim
    with b.at("attention_in", "attention"):
        kv = by_request(b, "kv_by_request", linear(b, "kv_a", x, width), c, width)
    latent, key = b.add_many("kv_split", Split((p.kv_rank, p.rope_dim)), kv)
    latent = norm(b, "kv_norm", latent, c.model.norm)
    key = rope(b, "k_rope", key, c, p.rope_dim, first=True)
    new = b.add("kv_join", Concat(), latent, key)

    def appended(g: Context, rows: int) -> int:
        return append(b, "kv_append", rows, b.cache("kv_cache", g.step.batch, g.step.past_len, width))

    return each(b, c, appended, new)


def _up_weight(b: Builder, p: Mla) -> int:
    width = p.nope_dim + p.v_dim
    return b.weight("kv_b.weight", p.heads * width, p.kv_rank, shard=(0, "heads"))


def _expanded(b: Builder, q: int, cache: int, selection: int | None, c: Context, p: Mla) -> int:
    from simulator.ops.linear import Linear

    with b.at("attention_core", "attention"):
        latent, key = b.add_many("cache_split", Split((p.kv_rank, p.rope_dim)), cache)
        kv = b.add("kv_b", Linear(), latent, _up_weight(b, p))
    with b.at("attention_core", "core"):
        kv = b.add("kv_heads", Reshape((c.step.batch, c.step.kv_len, -1, p.nope_dim + p.v_dim)), kv)
        k_nope, v = b.add_many("kv_b_split", Split((p.nope_dim, p.v_dim)), kv)
        key = b.add("key_head", Reshape((c.step.batch, c.step.kv_len, 1, p.rope_dim)), key)
        key = b.add("key_heads", Expand(-2, p.heads), key)
        k = b.add("k_join", Concat(), k_nope, key)
        scale = softmax_scale(c.model, p.nope_dim + p.rope_dim)
        if selection is None:
            out = b.add("attention", Attention(scale=scale), q, k, v)
        else:
            out = b.add("attention", IndexMaskedAttention(scale=scale), q, k, v, selection)
        return by_token(b, "attention_out", out, c)


def _absorbed(b: Builder, q: int, cache: int, selection: int | None, c: Context, p: Mla) -> int:
    with b.at("attention_core", "absorbed"):
        up = b.add("kv_b_heads", Reshape((-1, p.nope_dim + p.v_dim, p.kv_rank)), _up_weight(b, p))
        w_uk, w_uv = b.add_many("kv_b_views", Split((p.nope_dim, p.v_dim), axis=1), up)
        w_uk = b.add("w_uk", Transpose((0, 2, 1)), w_uk)
        q_nope, q_rope = b.add_many("q_split", Split((p.nope_dim, p.rope_dim)), q)
        q_latent = b.add("q_absorb", BatchedLinear(), q_nope, w_uk)
    with b.at("attention_core", "core"):
        query = b.add("q_join", Concat(), q_latent, q_rope)
        scale = softmax_scale(c.model, p.nope_dim + p.rope_dim)
        if selection is None:
            out = b.add("attention", MlaAbsorbedAttention(scale=scale, value_dim=p.kv_rank), query, cache)
        else:
            out = b.add("attention", SparseMlaAttention(scale=scale, value_dim=p.kv_rank), query, cache, selection)
    with b.at("attention_core", "absorbed"):
        out = b.add("v_absorb", BatchedLinear(), out, w_uv)
        return by_token(b, "attention_out", out, c)
