"""Lightning indexer and key selection of DeepSeek sparse attention.

Source: DeepSeek-V3.2 report eq. 1-2 and the reference inference code (index query from the normed query latent,
LayerNorm on the key, rotation of the first dims, Hadamard rotation before 8-bit storage).
"""

from __future__ import annotations

from simulator.models.builder import Builder, Context
from simulator.models.common import append, by_request, linear, norm, rope
from simulator.models.groups import PerGroup, each
from simulator.ops.hadamard import Hadamard
from simulator.ops.indexer import IndexerScores
from simulator.ops.top_k import TopK
from simulator.profiles.model import Indexer, Norm


def select_keys(b: Builder, x: int, query_latent: int, c: Context) -> PerGroup:
    """x[T, h], query latent[T, qr] -> indices [B, q, topk] of the keys each new token attends to, for each group."""
    p = c.model.indexer
    if p is None:
        raise ValueError(f"{c.model.name}: sparse attention needs an 'indexer' section")
    with b.at("attention_in", "index"):
        q = linear(b, "index_q", query_latent, p.heads * p.dim)
        q = by_request(b, "index_heads", q, c, p.heads, p.dim)
        key = by_request(b, "index_key", linear(b, "index_k", x, p.dim), c, p.dim)
        key = norm(b, "index_k_norm", key, Norm("layer", c.model.norm.eps))
        with b.at("attention_in", "gate"):
            w = linear(b, "index_w", x, p.heads, out_dtype="fp32")
    with b.at("attention_in", "index_vector"):
        q = _rotate(b, "index_q", q, c, p)
        key = _rotate(b, "index_k", key, c, p)
        w = by_request(b, "index_weights", w, c, p.heads)

        def appended(g: Context, new: int) -> int:
            return append(b, "index_append", new, b.cache("index_cache", g.step.batch, g.step.past_len, p.dim))

        keys = each(b, c, appended, key)
    with b.at("attention_core", "index_scores"):
        op = IndexerScores(scale=(p.heads * p.dim) ** -0.5)

        def selected(g: Context, q: int, keys: int, w: int) -> int:
            return b.add("index_topk", TopK(p.topk), b.add("index_scores", op, q, keys, w))

        return each(b, c, selected, q, keys, w)


def _rotate(b: Builder, name: str, x: int, c: Context, p: Indexer) -> int:
    x = rope(b, f"{name}_rope", x, c, p.rope_dim, first=True, interleaved=p.rope_interleaved)
    return b.add(f"{name}_hadamard", Hadamard(), x) if p.hadamard else x
