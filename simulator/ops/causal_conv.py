"""CausalConv: short depthwise convolution over the sequence, with SiLU, ahead of linear attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.elementwise import sigmoid
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import nbytes, require, rows_of, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Elementwise, Work


@dataclass(frozen=True)
class CausalConv(Op):
    """x[B, q, C], w[C, K], state[B, K - 1, C] -> silu(conv(x)) [B, q, C], new state[B, K - 1, C].

    The state holds the last K - 1 inputs. Source: Mamba, arXiv 2312.00752 section 3.4.
    """

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Output and state."""
        x, w, state = inputs
        fits = same(x.shape[2], w.shape[0]) and same(state.shape[2], w.shape[0])
        fits = fits and same(np.asarray(state.shape[1]) + 1, w.shape[1]) and same(x.shape[0], state.shape[0])
        require(self, fits, "x[B, q, C], w[C, K] and state[B, K - 1, C] must agree", x, w, state)
        return x, state

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass: K multiply-adds and a SiLU per element."""
        x, w, _ = inputs
        taps = float(np.max(np.asarray(w.shape[1])))
        read, written = nbytes(inputs), nbytes(outputs)
        return Work((Elementwise("causal_conv", rows_of(x), x.shape[2], read, written, 2.0 * taps + 3.0, exps=1.0),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Sum of shifted inputs."""
        x, w, state = arrays
        padded = np.concatenate([state, x], axis=1)
        taps = w.shape[1]
        y = sum((padded[:, j : j + x.shape[1]] * w[:, j] for j in range(taps)), start=np.zeros_like(x))
        return y * sigmoid(y), padded[:, x.shape[1] :]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Prefill and one token."""
        g = rng(48)

        def case(q: int) -> Example:
            arrays = (g.normal(size=(2, q, 6)), g.normal(size=(6, 4)), g.normal(size=(2, 3, 6)))
            return Example(cls(), arrays, ("bfloat16",) * 3)

        return case(5), case(1)
