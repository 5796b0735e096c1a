"""Dense feed-forward: SwiGLU, or two matrices with an activation."""

from __future__ import annotations

from simulator.models.builder import Builder, Context
from simulator.models.common import linear
from simulator.ops.silu_mul import SiluMul


def feed_forward(b: Builder, x: int, c: Context) -> int:
    """x[T, h] -> [T, h]."""
    p = c.model.dense
    if p is None:
        raise ValueError(f"{c.model.name}: a dense layer needs a 'dense' section")
    with b.at("ffn", "dense"):
        return gated(b, x, c, p.width, p.gated, bias=p.bias)


def gated(b: Builder, x: int, c: Context, width: int, is_gated: bool, *, bias: bool = False, prefix: str = "") -> int:
    """Up projection (gate and up in one matrix when gated), activation, down projection."""
    count = 2 if is_gated else 1
    blocks = (width,) * count if count > 1 else ()
    ways = (width,) * count if count > 1 else ()
    up = linear(b, f"{prefix}up", x, count * width, split=(0, "ffn"), bias=bias, blocks=blocks, ways=ways)
    return linear(b, f"{prefix}down", activation(b, f"{prefix}act", up, is_gated), c.model.hidden_size, split=(1, "ffn"), bias=bias)


def activation(b: Builder, name: str, x: int, is_gated: bool) -> int:
    """SwiGLU of [gate, up], or an elementwise activation of an ungated feed-forward."""
    if is_gated:
        return b.add(name, SiluMul(), x)
    from simulator.ops.elementwise import Scale

    return b.add(name, Scale(1.0), x)
