"""Dense feed-forward: SwiGLU, or two matrices with an activation."""

from __future__ import annotations

from simulator.models.builder import Builder, Context
from simulator.models.common import linear
from simulator.ops.activation import Activation
from simulator.ops.op import Op
from simulator.ops.silu_mul import SiluMul


def feed_forward(b: Builder, x: int, c: Context) -> int:
    """x[T, h] -> [T, h]."""
    p = c.model.dense
    if p is None:
        raise ValueError(f"{c.model.name}: a dense layer needs a 'dense' section")
    with b.at("ffn", "dense"):
        op: Op = SiluMul() if p.gated else Activation(p.activation)
        return gated(b, x, c, p.width, p.gated, op, bias=p.bias)


def gated(
    b: Builder,
    x: int,
    c: Context,
    width: int,
    is_gated: bool,
    op: Op,
    *,
    bias: bool = False,
    prefix: str = "",
) -> int:
    """Up projection (gate and up in one matrix when gated), activation ``op``, down projection."""
    count = 2 if is_gated else 1
    blocks = (width,) * count if count > 1 else ()
    up = linear(b, f"{prefix}up", x, count * width, split=(0, "ffn"), bias=bias, blocks=blocks, ways=blocks)
    act = b.add(f"{prefix}act", op, up)
    return linear(b, f"{prefix}down", act, c.model.hidden_size, split=(1, "ffn"), bias=bias)
