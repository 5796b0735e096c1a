"""IndexerScores: the lightning indexer's logits (DeepSeek Sparse Attention)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.compress import entries_visible, entry_pairs
from simulator.ops.counting import product
from simulator.ops.mla import bytes_per_token
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same
from simulator.ops.softmax_attention import visible
from simulator.ops.tensor import Dim, TensorSpec
from simulator.ops.work import IndexScores, Work


@dataclass(frozen=True)
class IndexerScores(Op):
    """q[B, q, J, d], keys[B, L, d], w[B, q, J] -> scores[B, q, L] = sum_j w_j relu(scale q_j . k), -inf if unseen.

    scale: 0 = d^-0.5. causal: a query sees the keys up to its own position. ratio > 1: a key stands for that many
    and is seen once they have all passed; past: tokens before the first query (needed with a ratio). Source:
    DeepSeek-V3.2 report eq. 1; operators.md g.
    """

    scale: float = 0.0
    rate: str = "fp8"
    causal: bool = True
    ratio: int = 1
    past: Dim = 0
    family = "dsa"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, q, L] in fp32."""
        q, keys, w = inputs
        ranks = (len(q.shape), len(keys.shape), len(w.shape)) == (4, 3, 3)
        fits = ranks and same(q.shape[0], keys.shape[0]) and same(q.shape[3], keys.shape[2])
        fits = fits and all(same(a, b) for a, b in zip(q.shape, w.shape, strict=False))
        require(self, fits, "q[B, q, J, d], keys[B, L, d] and w[B, q, J] must agree", q, keys, w)
        if self.ratio > 1:
            enough = np.all(np.asarray(keys.shape[1]) >= np.asarray(self.past + q.shape[1]) // self.ratio)
            require(self, bool(enough), f"too few keys for {self.past} past tokens at ratio {self.ratio}", q, keys)
        return (TensorSpec((q.shape[0], q.shape[1], keys.shape[1]), "fp32"),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Every visible pair, all index heads."""
        q, keys, _ = inputs
        batch, q_len, heads, dim = q.shape
        key_bytes = float(np.max(bytes_per_token(keys)))
        pairs = None if self.ratio == 1 else entry_pairs(self.past, q_len, self.ratio)
        term = IndexScores(
            batch,
            q_len,
            keys.shape[1],
            heads,
            dim,
            key_bytes=key_bytes,
            causal=self.causal,
            rate=self.rate,
            request_pairs=pairs,
        )
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Scores with -inf above the causal limit."""
        q, keys, w = arrays
        mask = visible(q.shape[1], keys.shape[1], self.causal)
        if self.ratio > 1:
            mask = entries_visible(int(self.past), q.shape[1], keys.shape[1], self.ratio)
        used = np.broadcast_to(mask, (q.shape[0], *mask.shape[1:]))
        dots = product("bqjd,bld->bqlj", q, keys, used=("bql", used)) * (self.scale or q.shape[-1] ** -0.5)
        scores = (np.maximum(dots, 0.0) * w[:, :, None, :]).sum(axis=-1)
        return (np.where(mask, scores, -np.inf),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Prefill, decode over a cache, no causal limit, compressed keys."""
        g = rng(34)

        def case(op: IndexerScores, q: int, kv: int) -> Example:
            arrays = (g.normal(size=(2, q, 3, 8)), g.normal(size=(2, kv, 8)), g.normal(size=(2, q, 3)))
            return Example(op, arrays, ("fp8_block", "fp8_block", "fp32"))

        return (
            case(cls(), 4, 4),
            case(cls(), 2, 7),
            case(cls(0.5, "bf16", causal=False), 2, 3),
            case(cls(ratio=4, past=6), 7, 3),
        )
