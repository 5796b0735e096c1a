"""DeepSeek-V4 attention: a shared key-value vector, a sliding window of raw tokens, and pooled older tokens (CSA, HCA).

Source: arXiv 2606.19348 section 2.3; official inference code; operators.md g.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from simulator.models.builder import Builder, Context
from simulator.models.common import append, by_request, by_token, linear, norm, scaling
from simulator.models.groups import PerGroup, each, join
from simulator.models.step import plain
from simulator.ops.batched_linear import BatchedLinear
from simulator.ops.compress import CompressPool
from simulator.ops.entry_positions import EntryPositions
from simulator.ops.hadamard import Hadamard
from simulator.ops.indexer import IndexerScores
from simulator.ops.rolling_state import RollingState
from simulator.ops.rope import Rope, RopeScaling
from simulator.ops.shared_kv_attention import SharedKvAttention
from simulator.ops.tensor import Dim
from simulator.ops.top_k import TopK
from simulator.ops.views import Reshape
from simulator.profiles.model import CompressedAttention

WINDOW_THETA = 10000.0  # layers without compressed entries rotate with the base frequency and without YaRN


@dataclass(frozen=True, slots=True)
class Layer:
    """One kind of V4 layer. ratio: tokens per pooled entry (0 = window only)."""

    c: Context
    p: CompressedAttention
    ratio: int

    @property
    def selects(self) -> bool:
        """Whether an indexer chooses entries."""
        return self.ratio == self.p.csa_ratio and self.ratio > 0

    def rope(self, b: Builder, name: str, x: int, positions: int, *, inverse: bool = False) -> int:
        """Rotates the last dims of x, or rotates them back."""
        r = self.c.model.rope
        theta, stretch = (r.theta, scaling(r)) if self.ratio else (WINDOW_THETA, RopeScaling())
        return b.add(name, Rope(self.p.rope_dim, theta, True, False, inverse, stretch), x, positions)


def attention(b: Builder, x: int, c: Context, mixer: str) -> int:
    """x[T, h] -> [T, h]."""
    p = c.model.compressed
    if p is None:
        raise ValueError(f"{c.model.name}: a {mixer} layer needs a 'compressed' section")
    layer = Layer(c, p, {"csa": p.csa_ratio, "hca": p.hca_ratio, "swa": 0}[mixer])
    with b.at("attention_in", "attention"):
        latent = norm(b, "q_norm", linear(b, "q_a", x, p.q_rank), c.model.norm)
        q = linear(b, "q_b", latent, p.heads * p.head_dim, split=(0, "heads"))
        q = by_request(b, "q_heads", q, c, -1, p.head_dim)
        with b.at("attention_in", "rope"):
            q = layer.rope(b, "q_rope", norm(b, "q_head_norm", q, c.model.norm, weight=False), c.positions)
        kv = by_request(b, "kv_by_request", linear(b, "kv", x, p.head_dim), c, p.head_dim)
        with b.at("attention_in", "cache"):
            kv = layer.rope(b, "kv_rope", norm(b, "kv_norm", kv, c.model.norm), c.positions)

            def appended(g: Context, new: int) -> int:
                near = plain(np.asarray(np.minimum(g.step.past_len, p.window - 1)))
                return append(b, "kv_append", new, b.cache("window_cache", g.step.batch, near, p.head_dim))

            window = each(b, c, appended, kv)
    extra: tuple[PerGroup, ...] = ()
    if layer.ratio:
        extra = (_pooled(b, x, layer, "entry", p.head_dim),)
    if layer.selects:
        extra += (_selected(b, x, latent, layer),)
    return _core(b, q, window, extra, layer)


def _core(b: Builder, q: int, kv: PerGroup, extra: tuple[PerGroup, ...], layer: Layer) -> int:
    c, p = layer.c, layer.p
    width = p.heads * p.head_dim // p.out_groups

    def core(g: Context, positions: int, q: int, kv: int, *entries: int) -> int:
        sinks = b.weight("sinks", p.heads, dtype="fp32", shard=(0, "heads"))
        op = SharedKvAttention(p.window, layer.ratio, g.step.past_len)
        out = b.add("attention", op, q, kv, sinks, *entries)
        out = layer.rope(b, "out_rope", out, positions, inverse=True)
        return b.add("out_groups", Reshape((g.step.tokens, -1, width)), out)

    with b.at("attention_core", "core"):
        out = join(b, c, each(b, c, core, c.positions, q, kv, *extra))
    with b.at("attention_core", "attention"):
        w = b.weight("o_a.weight", p.out_groups, p.out_rank, width, shard=(0, "heads"))
        out = b.add("o_a", BatchedLinear(), out, w)
        return linear(b, "o_b", by_token(b, "o_rank", out, c), c.model.hidden_size, split=(1, "heads"))


def _pooled(b: Builder, x: int, layer: Layer, name: str, width: int) -> PerGroup:
    """Entries of all complete groups of tokens: cached ones, then those completed in this step."""
    c, wide = layer.c, 2 * width if layer.selects else width
    with b.at("attention_in", "gate"):
        kv = by_request(b, f"{name}_kv_rows", linear(b, f"{name}_kv", x, wide, out_dtype="fp32"), c, wide)
        gate = by_request(b, f"{name}_gate_rows", linear(b, f"{name}_gate", x, wide, out_dtype="fp32"), c, wide)

    def entries(g: Context, positions: int, kv: int, gate: int) -> int:
        return _entries(b, replace(layer, c=g), name, positions, (kv, gate), width)

    with b.at("attention_in", f"{name}_cache"):
        return each(b, c, entries, c.positions, kv, gate)


def _entries(b: Builder, layer: Layer, name: str, positions: int, new: tuple[int, int], width: int) -> int:
    c, ratio = layer.c, layer.ratio
    past, wide = c.step.past_len, b.spec(new[0]).shape[-1]
    kv, gate = (_joined(b, layer, f"{name}_{n}_state@{ratio}", v) for n, v in zip(("kv", "gate"), new, strict=True))
    bias = b.weight(f"{name}_bias", ratio, wide, dtype="fp32")
    pooled = b.add(f"{name}_pool", CompressPool(ratio, layer.selects, _fresh(c, ratio)), kv, gate, bias)
    pooled = norm(b, f"{name}_norm", pooled, c.model.norm)
    at = b.add(f"{name}_positions", EntryPositions(ratio, past, b.spec(pooled).shape[1]), positions)
    pooled = layer.rope(b, f"{name}_rope", pooled, at)
    if name == "index":
        pooled = b.add("index_k_hadamard", Hadamard(), pooled)
    return append(b, f"{name}_append", pooled, b.cache(f"{name}_cache@{ratio}", c.step.batch, past // ratio, width))


def _selected(b: Builder, x: int, latent: int, layer: Layer) -> PerGroup:
    c, p = layer.c, layer.c.model.indexer
    if p is None:
        raise ValueError(f"{c.model.name}: a csa layer needs an 'indexer' section")
    keys = _pooled(b, x, layer, "index", p.dim)
    with b.at("attention_in", "index"):
        q = by_request(b, "index_heads", linear(b, "index_q", latent, p.heads * p.dim), c, p.heads, p.dim)
        with b.at("attention_in", "index_vector"):
            q = layer.rope(b, "index_q_rope", q, c.positions)
            q = b.add("index_q_hadamard", Hadamard(), q) if p.hadamard else q
        with b.at("attention_in", "gate"):
            w = by_request(b, "index_weights", linear(b, "index_w", x, p.heads, out_dtype="fp32"), c, p.heads)

    def selected(g: Context, q: int, keys: int, w: int) -> int:
        op = IndexerScores(scale=(p.heads * p.dim) ** -0.5, ratio=layer.ratio, past=g.step.past_len)
        return b.add("index_topk", TopK(p.topk), b.add("index_scores", op, q, keys, w))

    with b.at("attention_core", "index_scores"):
        return each(b, c, selected, q, keys, w)


def _joined(b: Builder, layer: Layer, name: str, new: int) -> int:
    """Tokens that wait for their group to complete (and the group before, where groups overlap), then the new ones."""
    step, width = layer.c.step, b.spec(new).shape[-1]
    state = b.cache(name, step.batch, _waiting(step.past_len, layer), width)
    joined, _ = b.add_many(name.split("@")[0], RollingState(_waiting(step.kv_len, layer)), state, new)
    return joined


def _waiting(tokens: Dim, layer: Layer) -> Dim:
    """Tokens kept after ``tokens`` tokens."""
    before = layer.ratio if layer.selects else 0
    rest = np.where(np.asarray(tokens) < layer.ratio, tokens, before + np.asarray(tokens) % layer.ratio)
    return rest if np.ndim(rest) else (int(rest) if float(rest).is_integer() else float(rest))


def _fresh(c: Context, ratio: int) -> bool | npt.NDArray[np.bool_]:
    """Whether pooling has no earlier complete group to overlap with (an array where the scenarios of a sweep differ)."""
    fresh = np.asarray(c.step.past_len) < ratio
    return fresh if fresh.any() != fresh.all() else bool(fresh.all())
