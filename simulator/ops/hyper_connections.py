"""HyperPre, HyperPost, HyperHead: manifold-constrained hyper-connections (mHC) with several residual streams.

n streams of width h. Before a sub-layer the streams are mixed into one vector; after it, its output is spread over the
streams, which are mixed by an n x n matrix that Sinkhorn steps make doubly stochastic. Source: arXiv 2512.24880;
operators.md g; identities N13.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import counting
from simulator.ops.elementwise import sigmoid
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import nbytes, require, require_rank, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Elementwise, Matmul, Work


def sinkhorn(logits: Array, iterations: int, eps: float) -> Array:
    """logits[.., n, n] -> matrix whose columns sum to 1 and whose rows nearly do: softmax of the rows, then alternating
    normalisation, columns last.
    """
    m = np.exp(logits - logits.max(axis=-1, keepdims=True))
    m = m / m.sum(axis=-1, keepdims=True) + eps
    m = m / (m.sum(axis=-2, keepdims=True) + eps)
    for _ in range(iterations - 1):
        m = m / (m.sum(axis=-1, keepdims=True) + eps)
        m = m / (m.sum(axis=-2, keepdims=True) + eps)
    out: Array = m
    return out


def mixing_logits(x: Array, w: Array, eps: float) -> Array:
    """x[T, n, h], w[m, n h] -> [T, m]: product with the RMS-normalised streams."""
    flat = x.reshape(len(x), -1)
    out: Array = counting.linear(flat, w) / np.sqrt(np.mean(flat * flat, axis=-1, keepdims=True) + eps)
    return out


@dataclass(frozen=True)
class HyperPre(Op):
    """x[T, n, h], w[(2 + n) n, n h], scale[3], base[(2 + n) n] -> y[T, h], post[T, n], comb[T, n, n].

    y = sum of pre_i x_i; pre = sigmoid, post = 2 sigmoid, comb = Sinkhorn of the scaled mixing logits.
    """

    streams: int = 4
    iterations: int = 20
    eps: float = 1e-6
    norm_eps: float = 1e-6
    rate: str = "tf32"
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """y, post, comb."""
        x, w, scale, base = inputs
        n = self.streams
        require_rank(self, x, 3, "x")
        fits = same(x.shape[1], n) and same(w.shape[0], (2 + n) * n) and same(w.shape[1], n * x.shape[2])
        fits = fits and same(base.shape[0], (2 + n) * n) and same(scale.shape[0], 3)
        require(self, fits, f"x[T, {n}, h], w[{(2 + n) * n}, {n} h], scale[3], base must agree", x, w, scale, base)
        tokens, _, h = x.shape
        return x.with_shape(tokens, h), TensorSpec((tokens, n), "fp32"), TensorSpec((tokens, n, n), "fp32")

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Mixing product, Sinkhorn on the small matrices, weighted sum of the streams."""
        x, w = inputs[:2]
        tokens, n, h = x.shape
        mixes = TensorSpec((tokens, w.shape[0]), "fp32")
        product = Matmul(tokens, w.shape[0], w.shape[1], x.dtype, w.dtype, "fp32", self.rate)
        weights = TensorSpec((tokens, n), "fp32").nbytes
        steps = 4.0 * self.iterations * self.streams / (2 + self.streams) + 4.0
        small = Elementwise(
            "mhc_sinkhorn", tokens, w.shape[0], mixes.nbytes, nbytes(outputs[1:]) + weights, ops=steps, exps=1.0
        )
        mix = Elementwise("mhc_pre", tokens, n * h, x.nbytes + weights, outputs[0].nbytes, ops=4.0)
        return Work((product, small, mix))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Mixed input of the sub-layer and the weights for HyperPost."""
        x, w, scale, base = arrays
        n = self.streams
        logits = mixing_logits(x, w, self.norm_eps) * np.repeat(scale, (n, n, n * n)) + base
        pre = sigmoid(logits[:, :n]) + self.eps
        post = 2.0 * sigmoid(logits[:, n : 2 * n])
        comb = sinkhorn(logits[:, 2 * n :].reshape(-1, n, n), self.iterations, self.eps)
        return (pre[..., None] * x).sum(axis=1), post, comb

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Four streams; one stream."""
        g = rng(45)

        def case(n: int, h: int) -> Example:
            m = (2 + n) * n
            arrays = (g.normal(size=(5, n, h)), g.normal(size=(m, n * h)), g.normal(size=3), g.normal(size=m))
            return Example(cls(n), arrays, ("bfloat16", "fp32", "fp32", "fp32"))

        return case(4, 8), case(1, 6)


@dataclass(frozen=True)
class HyperPost(Op):
    """y[T, h], x[T, n, h], post[T, n], comb[T, n, n] -> [T, n, h]: stream j = post_j y + sum_i comb_ij x_i."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as the streams."""
        y, x, post, comb = inputs
        require_rank(self, x, 3, "x")
        tokens, n, h = x.shape
        fits = same(y.shape[0], tokens) and same(y.shape[1], h) and same(post.shape[1], n) and same(comb.shape[2], n)
        require(self, fits, "y[T, h], x[T, n, h], post[T, n] and comb[T, n, n] must agree", y, x, post, comb)
        return (x,)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass: read the streams and the output, write the streams."""
        _, x, *_ = inputs
        tokens, n, h = x.shape
        streams = float(np.max(np.asarray(n)))
        term = Elementwise("mhc_post", tokens, n * h, nbytes(inputs), outputs[0].nbytes, ops=2.0 + 2.0 * streams)
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Expand and mix."""
        y, x, post, comb = arrays
        return (post[..., None] * y[:, None] + np.swapaxes(comb, 1, 2) @ x,)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Four streams; one stream."""
        g = rng(46)

        def case(n: int) -> Example:
            shapes = ((5, 8), (5, n, 8), (5, n), (5, n, n))
            return Example(cls(), tuple(g.normal(size=s) for s in shapes), ("bfloat16", "bfloat16", "fp32", "fp32"))

        return case(4), case(1)


@dataclass(frozen=True)
class HyperHead(Op):
    """x[T, n, h], w[n, n h], scale[1], base[n] -> y[T, h]: the streams mixed into one vector before the final norm."""

    streams: int = 4
    eps: float = 1e-6
    norm_eps: float = 1e-6
    rate: str = "tf32"
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[T, h]."""
        x, w, _, base = inputs
        n = self.streams
        require_rank(self, x, 3, "x")
        fits = same(x.shape[1], n) and same(w.shape[0], n) and same(w.shape[1], n * x.shape[2])
        require(self, fits and same(base.shape[0], n), f"x[T, {n}, h], w[{n}, {n} h], base[{n}] must agree", *inputs)
        return (x.with_shape(x.shape[0], x.shape[2]),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Mixing product and weighted sum."""
        x, w = inputs[:2]
        tokens, n, h = x.shape
        product = Matmul(tokens, n, w.shape[1], x.dtype, w.dtype, "fp32", self.rate)
        weights = TensorSpec((tokens, n), "fp32").nbytes
        return Work((product, Elementwise("mhc_pre", tokens, n * h, x.nbytes + weights, outputs[0].nbytes, ops=4.0)))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Sigmoid-weighted sum."""
        x, w, scale, base = arrays
        pre = sigmoid(mixing_logits(x, w, self.norm_eps) * scale + base) + self.eps
        return ((pre[..., None] * x).sum(axis=1),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Four streams; two streams."""
        g = rng(47)

        def case(n: int) -> Example:
            arrays = (g.normal(size=(5, n, 8)), g.normal(size=(n, n * 8)), g.normal(size=1), g.normal(size=n))
            return Example(cls(n), arrays, ("bfloat16", "fp32", "fp32", "fp32"))

        return case(4), case(2)
