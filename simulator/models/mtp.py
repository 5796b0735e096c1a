"""Multi-token-prediction modules: one extra layer each on the last hidden state and the next token's embedding.

The first pass follows the verified tokens: all 1 + k positions of a request, a fixed shape (engines discard the rejected
ones). Every later pass drafts from the one token before it: one token a request. Each pass chooses one token a request.
Source: DeepSeek-V3 report section 2.2 (eq. 21-24); vLLM and SGLang draft workers for the tokens of each pass.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.models import hyper
from simulator.models.builder import Builder, Context
from simulator.models.common import linear, norm
from simulator.models.groups import each, join
from simulator.models.head import finish, logits
from simulator.models.layer import Stream, layer
from simulator.models.step import StepShape
from simulator.ops.elementwise import Add
from simulator.ops.embedding import Embedding
from simulator.ops.views import Concat, Reshape, Slice
from simulator.profiles.model import Layer


def passes(b: Builder, c: Context, hidden: int, table: int, head: int, count: int) -> list[int]:
    """Runs ``count`` modules after the final hidden state [T, h]; returns the drafted token ids [B, 1] of each."""
    p = c.model.mtp
    if p is None:
        raise ValueError(f"{c.model.name}: mtp_passes={count} but the model has no 'mtp' section")
    drafted: list[int] = []
    for depth in range(count):
        b.scope.layer, b.scope.kind = c.model.num_layers + depth, "mtp"
        with b.at("mtp", "embedding"):
            if depth:
                hidden, ids = _last_token(b, c, hidden), b.add("mtp_ids", Reshape((c.step.requests,)), drafted[-1])
                c = _next(b, c, ids, depth)
            else:
                ids, c = b.input("mtp_ids.0", c.step.tokens), replace(c, step=_one_sampled(c.step))
            following = b.add("mtp_embed", Embedding(), ids, table)
        with b.at("mtp", "attention"):
            x = _join(b, c, hidden, following, p.split_projection)
        out = layer(b, c, Layer(p.mixer, p.ffn), Stream(x))
        last = finish(b, c, out.delta, out.residual)
        drafted.append(logits(b, c, last, head, "mtp_"))
        hidden = out.delta if c.model.hyper else last
    b.scope.layer, b.scope.kind = -1, ""
    return drafted


def _one_sampled(step: StepShape) -> StepShape:
    return replace(step, sampled=1, groups=tuple(replace(g, sampled=1) for g in step.groups))


def _next(b: Builder, c: Context, ids: int, depth: int) -> Context:
    """The step of a later pass: one new token a request behind everything so far (of a mixed step: the mean context)."""
    step = StepShape("decode", c.step.requests, 1, c.step.context + 1)
    return replace(c, step=step, ids=ids, positions=b.input(f"mtp_positions.{depth}", step.batch, 1))


def _last_token(b: Builder, c: Context, x: int) -> int:
    """[T, ..] -> the newest token of each request [B, ..]."""
    if np.all(np.asarray(c.step.q_len) == 1):
        return x
    rest = b.spec(x).shape[1:]

    def last(g: Context, rows: int) -> int:
        rows = b.add("mtp_rows", Reshape((g.step.batch, g.step.q_len, *rest)), rows)
        return b.add("mtp_last_row", Reshape((g.step.batch, *rest)), b.add("mtp_last", Slice(1, -1, 1), rows))

    return join(b, c, each(b, c, last, x))


def _join(b: Builder, c: Context, hidden: int, following: int, split: bool) -> int:
    width = c.model.hidden_size
    left = norm(b, "mtp_hidden_norm", hidden, c.model.norm)
    right = norm(b, "mtp_embed_norm", following, c.model.norm)
    if split:
        own, following = linear(b, "mtp_h_proj", left, width), linear(b, "mtp_e_proj", right, width)
        return b.add("mtp_add", Add(), own, hyper.spread(b, c, following) if c.model.hyper else following)
    return linear(b, "mtp_proj", b.add("mtp_join", Concat(), left, right), width)
