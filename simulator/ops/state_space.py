"""StateSpaceScan: the Mamba-2 selective state-space recurrence.

Source: Dao & Gu, arXiv 2405.21060 (state-space duality), section 6 for the chunked form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import recurrent
from simulator.ops.counting import product
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Matmul, Work


@dataclass(frozen=True)
class StateSpaceScan(Op):
    """x[B, q, H, P], dt[B, q, H], b, c[B, q, G, N], A_log, D, dt_bias[H], state[B, H, P, N] -> y[B, q, H, P], state.

    Per head: S <- exp(-exp(A_log) d) S + (d x) b^T; y = S c + D x, with d = softplus(dt + dt_bias). H is a
    multiple of G. chunk: 0 = token by token (decode), else tokens per chunk (prefill).
    """

    chunk: int = 0
    out_dtype: str = "bfloat16"
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Output and state."""
        x, dt, b, c, log, skip, bias, state = inputs
        heads = x.shape[2]
        fits = same(dt.shape[2], heads) and all(same(v.shape[0], heads) for v in (log, skip, bias))
        fits = fits and all(same(m, n) for m, n in zip(b.shape, c.shape, strict=True)) and same(b.shape[1], x.shape[1])
        fits = fits and same(state.shape[1], heads) and same(state.shape[2], x.shape[3])
        fits = fits and same(x.shape[0], b.shape[0])
        require(self, fits, "x[B, q, H, P], dt[B, q, H], b, c[B, q, G, N], state[B, H, P, N] must agree", *inputs)
        return TensorSpec(x.shape, self.out_dtype), state

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """About six operations per state element and token, or the products of the chunked form."""
        x, b, state = inputs[0], inputs[2], inputs[7]
        if self.chunk == 0:
            return recurrent.stepwise("state_space", inputs, outputs, state, x.shape[1], ops=6.0)
        batch = np.asarray(x.shape[0], dtype=np.float64)
        squares = recurrent.squared_chunks(x.shape[1], self.chunk) / self.chunk**2
        shared = Matmul(
            self.chunk, self.chunk, b.shape[3], rate="bf16", batch=batch * b.shape[2] * squares, b_is_weight=False
        )
        own = recurrent.chunked(batch * x.shape[2], x.shape[1], self.chunk, x.shape[3], (x.shape[3], b.shape[3]), 2)
        return Work((shared, *own.terms))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Token by token, or chunk by chunk with the same result."""
        x, dt, b, c, log, skip, bias, state = arrays
        d = np.logaddexp(0.0, dt + bias).astype(x.dtype)
        g = -np.exp(log) * d
        step = self.chunk or 1
        out = np.empty(x.shape, dtype=x.dtype)
        for t in range(0, x.shape[1], step):
            part = slice(t, t + step)
            args = (x[:, part] * d[:, part][..., None], b[:, part], c[:, part], g[:, part], state)
            out[:, part], state = _chunk(*args) if self.chunk else _token(*args)
        return out + x * skip[:, None], state.astype(arrays[7].dtype, copy=False)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Decode of one and two tokens, chunked prefill with a short last chunk."""
        g = rng(53)

        def case(op: StateSpaceScan, tokens: int) -> Example:
            arrays = (
                g.normal(size=(2, tokens, 4, 6)),
                g.normal(size=(2, tokens, 4)),
                *(g.normal(size=(2, tokens, 2, 8)) for _ in range(2)),
                *(g.normal(size=4) for _ in range(3)),
                g.normal(size=(2, 4, 6, 8)),
            )
            return Example(op, arrays, ("bfloat16",) * 4 + ("fp32",) * 4)

        return case(cls(), 1), case(cls(), 2), case(cls(chunk=3), 7)


def _token(x: Array, b: Array, c: Array, g: Array, state: Array) -> tuple[Array, Array]:
    """One token: x[B, 1, H, P], b, c[B, 1, G, N], g[B, 1, H]."""
    repeat = x.shape[2] // b.shape[2]
    b0, c0 = np.repeat(b[:, 0], repeat, axis=1), np.repeat(c[:, 0], repeat, axis=1)
    s = state * np.exp(g[:, 0])[..., None, None] + x[:, 0][..., :, None] * b0[..., None, :]
    return np.einsum("bhpn,bhn->bhp", s, c0)[:, None], s


def _chunk(x: Array, b: Array, c: Array, g: Array, state: Array) -> tuple[Array, Array]:
    """A chunk of C tokens at once; products are counted."""
    repeat = x.shape[2] // b.shape[2]
    total = np.cumsum(g, axis=1)
    n = x.shape[1]
    ratio = np.exp(np.minimum(total[:, :, None] - total[:, None], 0.0)).transpose(0, 3, 1, 2).astype(x.dtype)
    scores = product("bign,bjgn->bgij", c, b)
    scores = np.repeat(scores, repeat, axis=1) * ratio * np.tri(n, n, dtype=x.dtype)
    wide_b, wide_c = np.repeat(b, repeat, axis=2), np.repeat(c, repeat, axis=2)
    decay, tail = np.exp(total).astype(x.dtype), np.exp(total[:, -1:] - total).astype(x.dtype)
    out = product("bhij,bjhp->bihp", scores, x)
    out = out + product("bihn,bhpn->bihp", wide_c * decay[..., None], state.astype(x.dtype))
    grown = product("bihp,bihn->bhpn", x * tail[..., None], wide_b)
    return out, state * np.exp(total[:, -1])[..., None, None] + grown
