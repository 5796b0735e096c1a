"""Mixture of experts: gate, dispatch to expert owners, grouped SwiGLU, combine, shared expert.

Built for one rank; the shard pass turns the local permutation into an exchange over the expert-parallel group.
Source: DeepSeek-V3 report section 2.1.2 (eq. 12-16) for gating; open-infra-index day 6 for the exchange formats.
"""

from __future__ import annotations

from typing import Any

from simulator.models.builder import Builder, Context
from simulator.models.common import linear
from simulator.models.dense_ffn import gated
from simulator.ops.activation import Activation
from simulator.ops.elementwise import Add, SigmoidMul
from simulator.ops.expert_exchange import ExpertCombine, ExpertDispatch
from simulator.ops.grouped_linear import GroupedLinear
from simulator.ops.hash_gate import HashGate
from simulator.ops.linear import Linear
from simulator.ops.moe_gate import MoeGate
from simulator.ops.op import Op
from simulator.ops.silu_mul import SiluMul
from simulator.profiles.model import Moe


def feed_forward(b: Builder, x: int, c: Context, *, hashed: bool = False) -> int:
    """x[T, h] -> [T, h]."""
    p = c.model.moe
    if p is None:
        raise ValueError(f"{c.model.name}: a moe layer needs a 'moe' section")
    with b.at("gate", "gate"):
        indices, weights = _gate(b, x, c, p, hashed)
    exchange = _exchange(c, p)
    with b.at("dispatch", "experts"):
        rows, counts, source, scale = b.add_many("dispatch", ExpertDispatch(**exchange), x, indices, weights)
    with b.at("experts", "experts"):
        rows = _experts(b, rows, counts, c, p)
    with b.at("combine", "experts"):
        out = b.add("combine", ExpertCombine(**exchange), rows, source, scale, weights)
    if p.shared_width:
        with b.at("shared", "shared"):
            shared = _shared(b, x, c, p)
        with b.at("combine", "vector"):
            out = b.add("add_shared", Add(), out, shared)
    return out


def _gate(b: Builder, x: int, c: Context, p: Moe, hashed: bool) -> tuple[int, int]:
    logits = linear(b, "gate", x, p.experts, out_dtype="fp32", bias=p.router_bias)
    if hashed:
        table = b.weight("gate.table", c.model.vocab_size, p.topk, dtype="int32")
        op = HashGate(topk=p.topk, score=p.scoring, norm_topk=p.normalise, scaling=p.scale)
        indices, weights = b.add_many("hash_gate", op, logits, c.ids, table)
        return indices, weights
    gate = MoeGate(
        topk=p.topk, score=p.scoring, n_group=p.groups, topk_group=p.topk_groups, norm_topk=p.normalise, scaling=p.scale
    )
    bias = (b.weight("gate.correction_bias", p.experts, dtype="fp32"),) if p.routing_bias else ()
    indices, weights = b.add_many("moe_gate", gate, logits, *bias)
    return indices, weights


def _exchange(c: Context, p: Moe) -> dict[str, Any]:
    mode = c.options.exchange
    if mode == "auto":
        mode = "normal" if c.prefill else "low_latency"
    return {
        "group": "ep",
        "ranks": 1,
        "experts": p.experts,
        "topk": p.topk,
        "mode": mode,
        "ranks_per_node": c.options.ranks_per_node,
        "n_group": p.groups,
        "topk_group": p.topk_groups,
        "imbalance": c.options.imbalance,
        "curve": c.options.expert_loads,
    }


def _experts(b: Builder, rows: int, counts: int, c: Context, p: Moe) -> int:
    width, hidden = p.width, c.model.hidden_size
    wide = 2 * width if p.gated else width
    blocks = (width, width) if p.gated else ()
    op = GroupedLinear(experts=p.experts, topk=p.topk, curve=c.options.expert_loads)
    ways = blocks
    w = b.weight(
        "experts.up", p.experts, wide, hidden, shard=(0, "experts"), also=(1, "expert_width"), blocks=blocks, ways=ways
    )
    bias: tuple[int, ...] = ()
    if p.expert_bias:
        up_bias = b.weight(
            "experts.up_bias", p.experts, wide, shard=(0, "experts"), also=(1, "expert_width"), blocks=blocks, ways=ways
        )
        bias = (up_bias,)
    up = b.add("expert_up", op, rows, counts, w, *bias)
    act = b.add("expert_act", _activation(p), up)
    w = b.weight("experts.down", p.experts, hidden, width, shard=(0, "experts"), also=(2, "expert_width"))
    bias = (b.weight("experts.down_bias", p.experts, hidden, shard=(0, "experts")),) if p.expert_bias else ()
    return b.add("expert_down", op, act, counts, w, *bias)


def _activation(p: Moe) -> Op:
    return SiluMul(p.clamp, p.alpha, p.up_offset) if p.gated else Activation(p.activation)


def _shared(b: Builder, x: int, c: Context, p: Moe) -> int:
    out = gated(b, x, c, p.shared_width, p.gated, _activation(p), prefix="shared_")
    if not p.shared_gate:
        return out
    w = b.weight("shared_gate.weight", 1, c.model.hidden_size)
    with b.at("shared", "gate"):
        score = b.add("shared_gate", Linear(), x, w)
    return b.add("shared_scale", SigmoidMul(), out, score)
