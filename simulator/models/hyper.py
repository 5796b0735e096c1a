"""Layers with several residual streams (manifold-constrained hyper-connections of DeepSeek-V4).

Source: arXiv 2512.24880; operators.md g.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.models.builder import Builder, Context
from simulator.models.common import norm
from simulator.ops.hyper_connections import HyperHead, HyperPost, HyperPre
from simulator.ops.views import Expand, Reshape
from simulator.profiles.model import HyperConnections


def spread(b: Builder, c: Context, x: int) -> int:
    """x[T, h] -> the same vector in every stream [T, n, h]."""
    n = _part(c).streams
    with b.at("embed", "vector"):
        one = b.add("stream", Reshape((-1, 1, c.model.hidden_size)), x)
        return b.add("streams", Expand(1, n), one)


def around(b: Builder, c: Context, streams: int, name: str, stages: tuple[str, str], body: Callable[[int], int]) -> int:
    """Streams [T, n, h] -> streams after ``body`` (a sub-layer on [T, h]) with its mixing before and after."""
    p, h = _part(c), c.model.hidden_size
    rows = (2 + p.streams) * p.streams
    with b.at(stages[0], "hyper"):
        w = b.weight(f"{name}_mix.weight", rows, p.streams * h, dtype="fp32")
        scale = b.weight(f"{name}_mix.scale", 3, dtype="fp32")
        base = b.weight(f"{name}_mix.base", rows, dtype="fp32")
        op = HyperPre(p.streams, p.iterations, norm_eps=c.model.norm.eps)
        x, post, comb = b.add_many(f"{name}_pre", op, streams, w, scale, base)
        with b.at(stages[0], "norm"):
            x = norm(b, f"{name}_norm", x, c.model.norm)
    out = body(x)
    with b.at(stages[1], "hyper"):
        return b.add(f"{name}_post", HyperPost(), out, streams, post, comb)


def collapse(b: Builder, c: Context, streams: int) -> int:
    """Streams [T, n, h] -> one vector [T, h] before the final norm."""
    n, h = _part(c).streams, c.model.hidden_size
    with b.at("head", "hyper"):
        w = b.weight("stream_head.weight", n, n * h, dtype="fp32")
        scale, base = b.weight("stream_head.scale", 1, dtype="fp32"), b.weight("stream_head.base", n, dtype="fp32")
        return b.add("stream_head", HyperHead(n, norm_eps=c.model.norm.eps), streams, w, scale, base)


def _part(c: Context) -> HyperConnections:
    if c.model.hyper is None:
        raise ValueError(f"{c.model.name}: several residual streams need a 'hyper' section")
    return c.model.hyper
