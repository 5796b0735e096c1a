"""SharedKvAttention: DeepSeek-V4's attention over a window of raw tokens and pooled entries, keys equal to values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import work
from simulator.ops.compress import entries_visible, entry_pairs
from simulator.ops.counting import touch
from simulator.ops.mla import bytes_per_token
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, require_rank, same
from simulator.ops.softmax_attention import attention
from simulator.ops.sparse_attention import index_mask, selected_pairs
from simulator.ops.tensor import Dim, Number, TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class SharedKvAttention(Op):
    """q[B, q, H, d], kv[B, W, d], sinks[H], [entries[B, N, d], [indices[B, q, k]]] -> [B, q, H, d].

    kv holds the W most recent raw tokens, the new ones included; a query sees the last ``window`` of them up to itself.
    entries: pooled older tokens, ``ratio`` each, seen once complete; indices choose among them (-1 = none), without
    indices all are seen. past: tokens before the first query. scale: 0 = d^-0.5. Source: operators.md g.
    """

    window: int = 128
    ratio: int = 0
    past: Dim = 0
    scale: float = 0.0
    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    family = "dsa"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, q, H, d]."""
        q, kv, sinks, *rest = inputs
        require_rank(self, q, 4, "q")
        fits = all(same(x.shape[0], q.shape[0]) and same(x.shape[2], q.shape[3]) for x in (kv, *rest[:1]))
        require(self, fits, "kv and entries must share B and d with q", q, kv, *rest)
        require(self, same(sinks.shape[0], q.shape[2]), "sinks[H] must match q[B, q, H, d]", q, sinks)
        require(self, bool(rest) == (self.ratio > 0), "entries go with a ratio", q, *rest)
        total = np.asarray(self.past + q.shape[1])
        enough = np.all(np.asarray(kv.shape[1]) >= np.minimum(total, self.window + q.shape[1] - 1))
        require(self, bool(enough), f"kv must hold the {self.window} tokens before each query", q, kv)
        if len(rest) == 2:
            lead = all(same(a, b) for a, b in zip(rest[1].shape[:2], q.shape, strict=False))
            require(self, lead, "indices[B, q, k] must match q", q, rest[1])
        return (TensorSpec(q.shape, self.out_dtype),)

    def rows_per_query(self, q_len: Dim, topk: Dim = 0) -> Number:
        """Mean number of window tokens and entries a query reads."""
        pairs = selected_pairs(q_len, self.past + q_len, self.window)
        if self.ratio:
            pairs = pairs + entry_pairs(self.past, q_len, self.ratio, topk)
        mean: Number = pairs / np.asarray(q_len, dtype=np.float64)
        return mean if np.ndim(mean) else float(mean)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One kernel that gathers window and entries of every query; a stored row is key and value."""
        q, kv, _, *rest = inputs
        topk = rest[1].shape[2] if len(rest) == 2 else 0
        term = work.Attention(
            batch=q.shape[0],
            q_len=q.shape[1],
            kv_len=self.rows_per_query(q.shape[1], topk),
            heads=q.shape[2],
            kv_heads=1,
            qk_dim=q.shape[3],
            v_dim=q.shape[3],
            q_dtype=q.dtype,
            kv_dtype=kv.dtype,
            out_dtype=self.out_dtype,
            rate=self.rate,
            kv_shared=True,
            kv_bytes_per_token=bytes_per_token(kv),
            selected=True,
        )
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Joint softmax over window, entries and sink."""
        q, kv, sinks, *rest = arrays
        batch, q_len, _, width = q.shape
        past = int(self.past)
        position = past + np.arange(q_len)[:, None]
        key = past + q_len - kv.shape[1] + np.arange(kv.shape[1])[None, :]
        near = (key <= position) & (key > position - self.window) & (key >= 0)
        mask = np.broadcast_to(near[None], (batch, *near.shape))
        keys = kv
        if rest:
            far = np.broadcast_to(
                entries_visible(past, q_len, rest[0].shape[1], self.ratio), (batch, q_len, rest[0].shape[1])
            )
            far = far & index_mask(rest[1], rest[0].shape[1]) if len(rest) == 2 else far
            mask, keys = np.concatenate([mask, far], axis=2), np.concatenate([kv, rest[0]], axis=1)
        touch(1, np.count_nonzero(mask) * width)
        keys = keys[:, :, None]
        return (attention(q, keys, keys, mask, self.scale or width**-0.5, sinks)[0],)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Window only; dense entries (HCA) in decode; selected entries (CSA) in prefill and decode."""
        g = rng(44)

        def case(op: SharedKvAttention, q: int, raw: int, entries: int = 0, k: int = 0) -> Example:
            arrays = [g.normal(size=(2, q, 3, 8)), g.normal(size=(2, raw, 8)), g.normal(size=3)]
            dtypes = ["bfloat16", "bfloat16", "fp32"]
            if entries:
                arrays.append(g.normal(size=(2, entries, 8)))
                dtypes.append("bfloat16")
            if k:
                seen = entries_visible(int(op.past), q, entries, op.ratio)[0].sum(axis=1)
                rows = [[np.resize(np.append(g.permutation(n)[:k], [-1] * k), k) for n in seen] for _ in range(2)]
                arrays.append(np.array(rows, dtype=np.int32))
                dtypes.append("int32")
            return Example(op, tuple(arrays), tuple(dtypes))

        return (
            case(cls(window=3), 6, 6),
            case(cls(window=3, ratio=4, past=13), 2, 4, entries=3),
            case(cls(window=3, ratio=2), 9, 9, entries=4, k=3),
            case(cls(window=4, ratio=2, past=20), 1, 4, entries=10, k=5),
        )
