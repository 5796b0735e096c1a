"""Softmax attention in numpy: naive, tiled with online softmax, and merged from splits of the keys.

Shapes: q[B, q, H, d], k[B, L, G, d], v[B, L, G, dv], mask[B or 1, q, L] true where the key is seen, H a multiple of G.
A query that sees no key gives output 0 and log-sum-exp +inf. Source: online softmax, Milakov & Gimelshein, arXiv
1805.02867; tiles and merging as in FlashAttention, arXiv 2205.14135.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from simulator.ops.counting import product
from simulator.ops.op import Array


def visible(q_len: int, kv_len: int, causal: bool = True, window: int = 0) -> Array:
    """mask[1, q, L]; the last query is aligned with the last key, ``window`` > 0 keeps that many most recent keys."""
    position = np.arange(q_len)[:, None] + (kv_len - q_len)
    key = np.arange(kv_len)[None, :]
    seen = (key <= position) if causal else np.ones((q_len, kv_len), dtype=bool)
    if window > 0:
        newest = position if causal else np.full_like(position, kv_len - 1)
        seen = seen & (key > newest - window)
    return seen[None]


def _grouped(q: Array, kv_heads: int) -> Array:
    b, n, h, d = q.shape
    return q.reshape(b, n, kv_heads, h // kv_heads, d)


def _scores(q: Array, k: Array, mask: Array, computed: Array, scale: float) -> Array:
    """[B, q, G, H / G, L], -inf where masked."""
    s = product("bqgrd,blgd->bqgrl", _grouped(q, k.shape[2]), k, used=("bql", _batched(computed, q)))
    return np.where(mask[:, :, None, None, :], s * scale, -np.inf)


def _batched(mask: Array, q: Array) -> Array:
    return np.broadcast_to(mask, (q.shape[0], *mask.shape[1:]))


def _weighted(p: Array, v: Array, mask: Array, q: Array) -> Array:
    return product("bqgrl,blge->bqgre", p, v, used=("bql", _batched(mask, q)))


def partial_attention(
    q: Array, k: Array, v: Array, mask: Array, scale: float, computed: Array | None = None
) -> tuple[Array, Array]:
    """(output[B, q, H, dv], lse[B, q, H]) over the keys given; lse is -inf for a query that sees none.

    computed: the pairs the kernel multiplies, where that is more than the mask lets through.
    """
    done = mask if computed is None else computed
    s = _scores(q, k, mask, done, scale)
    top = s.max(axis=-1, initial=-np.inf)
    base = np.where(np.isneginf(top), 0.0, top)
    p = np.exp(s - base[..., None])
    total = p.sum(axis=-1)
    out = _weighted(p, v, done, q) / np.where(total > 0, total, 1.0)[..., None]
    with np.errstate(divide="ignore"):
        lse = np.log(total) + base
    b, n, h, _ = q.shape
    return out.reshape(b, n, h, -1), lse.reshape(b, n, h)


def with_sink(out: Array, lse: Array, sinks: Array | None) -> tuple[Array, Array]:
    """Add a per-head sink logit, which takes probability and gives no value; +inf for queries that see nothing."""
    if sinks is not None:
        joint = np.logaddexp(lse, sinks)
        out, lse = out * np.exp(lse - joint)[..., None], np.where(np.isneginf(lse), lse, joint)
    return out, np.where(np.isneginf(lse), np.inf, lse)


def attention(
    q: Array, k: Array, v: Array, mask: Array, scale: float, sinks: Array | None = None
) -> tuple[Array, Array]:
    """(output[B, q, H, dv], lse[B, q, H]) with all keys at once."""
    return with_sink(*partial_attention(q, k, v, mask, scale), sinks)


def merge(one: tuple[Array, Array], two: tuple[Array, Array]) -> tuple[Array, Array]:
    """Combine the results over two disjoint sets of keys by their log-sum-exp (split-KV, context parallelism)."""
    (a, lse_a), (b, lse_b) = one, two
    top = np.maximum(lse_a, lse_b)
    base = np.where(np.isneginf(top), 0.0, top)
    wa, wb = np.exp(lse_a - base), np.exp(lse_b - base)
    total = wa + wb
    safe = np.where(total > 0, total, 1.0)
    with np.errstate(divide="ignore"):
        lse = np.log(total) + base
    return (a * wa[..., None] + b * wb[..., None]) / safe[..., None], lse


def tiled_attention(
    q: Array, k: Array, v: Array, mask: Array, scale: float, tile: int, sinks: Array | None = None
) -> tuple[Array, Array]:
    """The same as ``attention``, ``tile`` keys at a time with a running maximum and sum."""
    starts = range(0, k.shape[1], tile)
    cut = [slice(s, s + tile) for s in starts]
    parts = [partial_attention(q, k[:, c], v[:, c], mask[:, :, c], scale) for c in cut]
    return with_sink(*reduce(merge, parts), sinks)
