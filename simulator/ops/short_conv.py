"""ShortConv: causal depthwise convolution over a few tokens with SiLU, and its rolling state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.elementwise import sigmoid
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same, vector_pass
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class ShortConv(Op):
    """x[B, q, C], w[C, K], state[B, K - 1, C] -> silu(conv) [B, q, C], new state (the last K - 1 inputs)."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as x, same as the state."""
        x, w, state = inputs
        fits = same(x.shape[2], w.shape[0]) and same(state.shape[1], np.asarray(w.shape[1]) - 1)
        fits = fits and same(state.shape[0], x.shape[0]) and same(state.shape[2], x.shape[2])
        require(self, fits, "x[B, q, C], w[C, K] and state[B, K - 1, C] must agree", *inputs)
        return x, state

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass; K multiply-adds and one exponential per element."""
        kernel = float(np.max(np.asarray(inputs[1].shape[1])))
        return vector_pass("causal_conv", inputs, outputs, ops=2.0 * kernel + 2.0, exps=1.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Sum of shifted inputs."""
        x, w, state = arrays
        padded = np.concatenate([state.astype(x.dtype, copy=False), x], axis=1)
        q, k = x.shape[1], w.shape[1]
        y = sum((padded[:, i : i + q] * w[:, i] for i in range(k)), start=np.zeros_like(x))
        return y * sigmoid(y), padded[:, padded.shape[1] - (k - 1) :]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Prefill and one decode token."""
        g = rng(51)
        return tuple(
            Example(
                cls(), (g.normal(size=(2, q, 6)), g.normal(size=(6, 4)), g.normal(size=(2, 3, 6))), ("bfloat16",) * 3
            )
            for q in (5, 1)
        )
