"""Embedding at the bottom; final norm, vocabulary projection and greedy selection at the top."""

from __future__ import annotations

import numpy as np

from simulator.models import hyper
from simulator.models.builder import Builder, Context
from simulator.models.common import add_norm, by_request, by_token, norm
from simulator.models.groups import sampled_rows
from simulator.ops.elementwise import Add
from simulator.ops.embedding import Embedding
from simulator.ops.linear import Linear
from simulator.ops.top_k import ArgMax
from simulator.ops.views import Slice


def embed(b: Builder, c: Context, ids: int) -> tuple[int, int]:
    """(embedded tokens [T, h], table)."""
    m = c.model
    with b.at("embed", "embedding"):
        table = b.weight("embedding.weight", m.vocab_size, m.hidden_size, shard=(0, "vocab"))
        x = b.add("embed", Embedding(), ids, table)
        if m.learned_positions:
            places = b.weight("positions.weight", m.learned_positions, m.hidden_size)
            offsets = by_token(b, "position_rows", b.add("embed_positions", Embedding(), c.positions, places), c)
            x = b.add("embed_add", Add(), x, offsets)
        return (norm(b, "embed_norm", x, m.norm) if m.embedding_norm else x), table


def finish(b: Builder, c: Context, delta: int, residual: int | None) -> int:
    """Final norm of the residual stream (or of all streams joined): [T, h]."""
    if c.model.hyper is not None:
        delta = hyper.collapse(b, c, delta)
    with b.at("head", "norm"):
        if residual is None:
            return norm(b, "final_norm", delta, c.model.norm)
        return add_norm(b, "final_norm", delta, residual, c.model.norm)[0]


def head_weight(b: Builder, c: Context, table: int) -> int:
    """Vocabulary projection, shared with the embedding when the model ties them."""
    if c.model.tie_embeddings:
        return table
    return b.weight("head.weight", c.model.vocab_size, c.model.hidden_size, shard=(0, "vocab"))


def logits(b: Builder, c: Context, x: int, weight: int, name: str = "") -> int:
    """Token ids chosen for the sampled positions: [B, s], of a mixed step [1, those of all groups]."""
    with b.at("head", "head"):
        x = sampled_rows(b, c, x, name) if c.step.groups else _sampled(b, c, x, name)
        scores = b.add(f"{name}logits", Linear(), x, weight)
        with b.at("head", "vector"):
            return b.add(f"{name}sample", ArgMax(), scores)


def _sampled(b: Builder, c: Context, x: int, name: str) -> int:
    x = by_request(b, f"{name}sampled_rows", x, c, c.model.hidden_size)
    count = c.step.head_tokens
    if np.any(np.asarray(count) != np.asarray(c.step.q_len)):
        return b.add(f"{name}last", Slice(1, -int(np.max(count)), int(np.max(count))), x)
    return x
