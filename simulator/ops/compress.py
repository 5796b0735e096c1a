"""CompressPool: learned, gated pooling of consecutive tokens into cache entries (DeepSeek-V4 CSA and HCA).

Source: arXiv 2606.19348 section 2.3; official inference code; operators.md g.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import nbytes, require, rows_of, same, same_shape, share_of
from simulator.ops.tensor import Dim, Number, TensorSpec
from simulator.ops.work import Elementwise, Work


def entries_visible(past: int, q_len: int, entries: int, ratio: int) -> Array:
    """mask[1, q, N]: entry j is seen from position ratio j + ratio - 1 on; the first query stands at ``past``."""
    position = past + np.arange(q_len)[:, None]
    seen: Array = np.arange(entries)[None, :] < (position + 1) // ratio
    return seen[None]


def entry_pairs(past: Dim, q_len: Dim, ratio: int, topk: Dim = 0) -> Number:
    """Sum over the queries of the entries they see (at most ``topk`` each if > 0)."""
    start, q, top = (np.asarray(v, dtype=np.float64) for v in (past, q_len, topk))

    def upto(n: Number) -> Number:
        whole = np.floor(n / ratio)
        total: Number = ratio * whole * (whole - 1) / 2 + whole * (n - whole * ratio + 1)
        return total

    def limited(n: Number) -> Number:
        at = np.minimum(n, top * ratio)
        out: Number = upto(at) + (n - at) * top
        return out

    count = limited if np.any(top > 0) else upto
    pairs = count(start + q) - count(start)
    return pairs if np.ndim(pairs) else float(pairs)


@dataclass(frozen=True)
class CompressPool(Op):
    """kv[B, S, w], gate[B, S, w], bias[ratio, w] -> entries[B, N, d].

    Every ``ratio`` tokens give one entry: per element a softmax over the tokens of gate + bias weights kv. overlap: w =
    2 d; an entry pools the first halves of the previous ``ratio`` tokens together with the second halves of its own.
    fresh: S starts the sequence (the first entry has no previous tokens); else, with overlap, the first ``ratio``
    tokens are the previous window and give no entry of their own; an array where the scenarios of a sweep differ. Tokens
    beyond the last full window wait for the next step.
    """

    ratio: int
    overlap: bool = False
    fresh: bool | npt.NDArray[np.bool_] = True
    family = "elementwise"

    def _entries(self, tokens: Dim) -> Dim:
        skipped = np.where(self.fresh, 0, 1) if self.overlap else 0
        skipped = int(skipped) if np.ndim(skipped) == 0 else skipped
        if isinstance(tokens, int) or (isinstance(tokens, np.ndarray) and np.issubdtype(tokens.dtype, np.integer)):
            return tokens // self.ratio - skipped
        return tokens / self.ratio - skipped

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[B, N, d]; an expected (fractional) number of tokens gives an expected number of entries."""
        kv, gate, bias = inputs
        fits = same_shape(kv, gate) and same(bias.shape[0], self.ratio) and same(bias.shape[1], kv.shape[2])
        require(self, fits, "kv[B, S, w], gate[B, S, w] and bias[ratio, w] must agree", kv, gate, bias)
        width = share_of(kv.shape[2], 2) if self.overlap else kv.shape[2]
        return (kv.with_shape(kv.shape[0], self._entries(kv.shape[1]), width),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass over the tokens; one exponential per element."""
        kv = inputs[0]
        read, written = nbytes(inputs), outputs[0].nbytes
        return Work((Elementwise("compress_pool", rows_of(kv), kv.shape[2], read, written, ops=5.0, exps=1.0),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """softmax(gate + bias) weighted sum of kv."""
        kv, gate, bias = arrays
        batch, tokens, width = kv.shape
        windows = tokens // self.ratio
        shape = (batch, windows, self.ratio, width)
        kv = kv[:, : windows * self.ratio].reshape(shape)
        logits = gate[:, : windows * self.ratio].reshape(shape) + bias
        if self.overlap:
            kv, logits = self._overlapped(kv, 0.0), self._overlapped(logits, -np.inf)
        p = np.exp(logits - logits.max(axis=2, keepdims=True, initial=np.finfo(logits.dtype).min))
        return ((p / p.sum(axis=2, keepdims=True) * kv).sum(axis=2),)

    def _overlapped(self, x: Array, fill: float) -> Array:
        """x[B, N, r, 2 d] -> [B, N', 2 r, d]: first halves of the window before, second halves of the own window."""
        d = x.shape[-1] // 2
        before = np.full_like(x[:, :1, :, :d], fill)
        previous = np.concatenate([before, x[:, :-1, :, :d]], axis=1)[:, : x.shape[1]]
        joined = np.concatenate([previous, x[..., d:]], axis=2)
        return joined if self.fresh else joined[:, 1:]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """HCA with a rest, CSA from the start, CSA continued."""
        g = rng(43)

        def case(op: CompressPool, tokens: int) -> Example:
            arrays = (g.normal(size=(2, tokens, 8)), g.normal(size=(2, tokens, 8)), g.normal(size=(op.ratio, 8)))
            return Example(op, arrays, ("fp32",) * 3)

        return case(cls(4), 11), case(cls(2, overlap=True), 6), case(cls(2, overlap=True, fresh=False), 4)
