"""Multi-token-prediction modules: one extra layer each on the last hidden state and the next token's embedding.

Source: DeepSeek-V3 report section 2.2 (eq. 21-24).
"""

from __future__ import annotations

from simulator.models import hyper
from simulator.models.builder import Builder, Context
from simulator.models.common import linear, norm
from simulator.models.head import finish, logits
from simulator.models.layer import Stream, layer
from simulator.ops.elementwise import Add
from simulator.ops.embedding import Embedding
from simulator.ops.views import Concat
from simulator.profiles.model import Layer


def passes(b: Builder, c: Context, hidden: int, table: int, head: int, count: int) -> list[int]:
    """Runs ``count`` modules after the final hidden state [T, h]; returns the drafted token ids of each."""
    p = c.model.mtp
    if p is None:
        raise ValueError(f"{c.model.name}: mtp_passes={count} but the model has no 'mtp' section")
    drafted = []
    for depth in range(count):
        b.scope.layer, b.scope.kind = c.model.num_layers + depth, "mtp"
        with b.at("mtp", "embedding"):
            ids = b.input(f"mtp_ids.{depth}", c.step.tokens)
            following = b.add("mtp_embed", Embedding(), ids, table)
        with b.at("mtp", "attention"):
            x = _join(b, c, hidden, following, p.split_projection)
        out = layer(b, c, Layer(p.mixer, p.ffn), Stream(x))
        last = finish(b, c, out.delta, out.residual)
        drafted.append(logits(b, c, last, head, "mtp_"))
        hidden = out.delta if c.model.hyper else last
    b.scope.layer, b.scope.kind = -1, ""
    return drafted


def _join(b: Builder, c: Context, hidden: int, following: int, split: bool) -> int:
    width = c.model.hidden_size
    left = norm(b, "mtp_hidden_norm", hidden, c.model.norm)
    right = norm(b, "mtp_embed_norm", following, c.model.norm)
    if split:
        own, following = linear(b, "mtp_h_proj", left, width), linear(b, "mtp_e_proj", right, width)
        return b.add("mtp_add", Add(), own, hyper.spread(b, c, following) if c.model.hyper else following)
    return linear(b, "mtp_proj", b.add("mtp_join", Concat(), left, right), width)
