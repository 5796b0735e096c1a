"""One transformer layer: norm, mixer, norm, feed-forward around a residual stream kept as (last output, running
sum).
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.models import compressed, delta_net, dense_ffn, gqa, hyper, mamba, mla, moe, user_block
from simulator.models.builder import Builder, Context
from simulator.models.common import add_norm, norm
from simulator.models.groups import PerGroup
from simulator.profiles.model import Layer


@dataclass(frozen=True, slots=True)
class Stream:
    """What a layer hands to the next. delta: output not yet added; residual: sum so far (None before the first
    layer). With hyper-connections delta holds all residual streams and residual stays None.

    selection: keys chosen by sparse attention for each group of requests, for layers that share them (() = none).
    """

    delta: int
    residual: int | None = None
    selection: PerGroup = ()

    def carried(self) -> tuple[int, ...]:
        """Value ids in a fixed order."""
        return (self.delta, *(() if self.residual is None else (self.residual,)), *self.selection)


def layer(b: Builder, c: Context, spec: Layer, stream: Stream, *, hashed: bool = False) -> Stream:
    """Appends one layer."""
    if c.model.hyper is not None:
        return Stream(_with_streams(b, c, spec, stream.delta, hashed))
    if spec.mixer != "none":
        x, residual = _normed(b, c, stream, "attention_norm", "attention_in")
        out, selection = _mix(b, c, spec.mixer, x, stream.selection)
        stream = Stream(_post_norm(b, c, out, "attention_post_norm", "attention_core"), residual, selection)
    if spec.ffn != "none":
        stage = "gate" if spec.ffn == "moe" else "ffn"
        x, residual = _normed(b, c, stream, "ffn_norm", stage)
        out = _feed(b, c, spec.ffn, x, hashed)
        last = "combine" if spec.ffn == "moe" else "ffn"
        stream = Stream(_post_norm(b, c, out, "ffn_post_norm", last), residual, stream.selection)
    return stream


def _with_streams(b: Builder, c: Context, spec: Layer, streams: int, hashed: bool) -> int:
    """A layer whose sub-layers read a mix of several residual streams."""

    def mixer(x: int) -> int:
        return _mix(b, c, spec.mixer, x, ())[0]

    def feed_forward(x: int) -> int:
        return _feed(b, c, spec.ffn, x, hashed)

    stages = ("gate", "combine") if spec.ffn == "moe" else ("ffn", "ffn")
    streams = hyper.around(b, c, streams, "attention", ("attention_in", "attention_core"), mixer)
    return hyper.around(b, c, streams, "ffn", stages, feed_forward)


def _normed(b: Builder, c: Context, s: Stream, name: str, stage: str) -> tuple[int, int]:
    with b.at(stage, "norm"):
        if s.residual is None:
            return norm(b, name, s.delta, c.model.norm), s.delta
        return add_norm(b, name, s.delta, s.residual, c.model.norm)


def _post_norm(b: Builder, c: Context, x: int, name: str, stage: str) -> int:
    if c.model.norm.per_layer < 4:
        return x
    with b.at(stage, "norm"):
        return norm(b, name, x, c.model.norm)


def _feed(b: Builder, c: Context, ffn: str, x: int, hashed: bool) -> int:
    if user_block.is_user(ffn):
        return user_block.body(b, x, c, ffn, user_block.FEED_FORWARD)
    return moe.feed_forward(b, x, c, hashed=hashed) if ffn == "moe" else dense_ffn.feed_forward(b, x, c)


def _mix(b: Builder, c: Context, mixer: str, x: int, selection: PerGroup) -> tuple[int, PerGroup]:
    if user_block.is_user(mixer):
        return user_block.body(b, x, c, mixer, user_block.MIXER), selection
    if mixer.startswith("mla"):
        return mla.attention(b, x, c, selection, mixer)
    if mixer == "delta_net":
        return delta_net.mixer(b, x, c), selection
    if mixer == "mamba":
        return mamba.mixer(b, x, c), selection
    if mixer in ("csa", "hca", "swa"):
        return compressed.attention(b, x, c, mixer), selection
    return gqa.attention(b, x, c, window=mixer == "gqa_window"), selection
