"""GatedDeltaRule: linear attention with a decayed state corrected by the delta rule.

Source: Yang et al., arXiv 2412.06464 (gated delta networks); chunked form with the WY representation: section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import recurrent
from simulator.ops.counting import product
from simulator.ops.elementwise import sigmoid
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True)
class GatedDeltaRule(Op):
    """q, k[B, q, G, dk], v[B, q, H, dv], a, b[B, q, H], A_log, dt_bias[H], state[B, H, dk, dv] -> o[B, q, H, dv], state

    Per head: S <- exp(g) S; S <- S + k (beta (v - S^T k))^T; o = S^T q / sqrt(dk), with q and k of unit length,
    g = -exp(A_log) softplus(a + dt_bias), beta = sigmoid(b). H is a multiple of G. chunk: 0 = token by token (decode),
    else tokens per chunk (prefill).
    """

    chunk: int = 0
    out_dtype: str = "bfloat16"
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Output and state."""
        q, k, v, a, b, log, bias, state = inputs
        heads = v.shape[2]
        fits = all(same(x, y) for x, y in zip(q.shape, k.shape, strict=True)) and same(q.shape[0], v.shape[0])
        fits = fits and all(same(x.shape[2], heads) for x in (a, b)) and same(q.shape[1], v.shape[1])
        fits = fits and all(same(x.shape[0], heads) for x in (log, bias))
        fits = fits and same(state.shape[1], heads) and same(state.shape[2], k.shape[3])
        require(self, fits, "q, k[B, q, G, dk], v[B, q, H, dv], a, b[B, q, H], state[B, H, dk, dv] must agree", *inputs)
        return TensorSpec(v.shape, self.out_dtype), state

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """About eight operations per state element and token, or the products of the chunked form."""
        k, v, state = inputs[1], inputs[2], inputs[7]
        if self.chunk == 0:
            return recurrent.stepwise("gated_delta", inputs, outputs, state, k.shape[1], ops=8.0)
        batch = np.asarray(v.shape[0], dtype=np.float64) * v.shape[2]
        dk, dv = k.shape[3], v.shape[3]
        return recurrent.chunked(batch, k.shape[1], self.chunk, 3 * dk + 2 * dv, (dk, dv), 3)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Token by token, or chunk by chunk with the same result."""
        q, k, v, a, b, log, bias, state = arrays
        repeat = v.shape[2] // k.shape[2]
        q, k = (np.repeat(_unit(x), repeat, axis=2) for x in (q, k))
        q = q * q.dtype.type(q.shape[-1] ** -0.5)
        g, beta = -np.exp(log) * np.logaddexp(0.0, a + bias).astype(a.dtype), sigmoid(b)
        step = self.chunk or 1
        out = np.empty(v.shape, dtype=v.dtype)
        for t in range(0, v.shape[1], step):
            part = slice(t, t + step)
            args = (q[:, part], k[:, part], v[:, part], g[:, part], beta[:, part], state)
            out[:, part], state = _chunk(*args) if self.chunk else _token(*args)
        return out, state.astype(arrays[7].dtype, copy=False)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Decode of one and two tokens, chunked prefill with a short last chunk."""
        g = rng(52)

        def case(op: GatedDeltaRule, tokens: int) -> Example:
            heads = (2, tokens, 4)
            arrays = (
                *(g.normal(size=(2, tokens, 2, 6)) for _ in range(2)),
                g.normal(size=(*heads, 8)),
                g.normal(size=heads),
                g.normal(size=heads),
                g.normal(size=4),
                g.normal(size=4),
                g.normal(size=(2, 4, 6, 8)),
            )
            return Example(op, arrays, ("bfloat16",) * 5 + ("fp32",) * 3)

        return case(cls(), 1), case(cls(), 2), case(cls(chunk=3), 7)


def _unit(x: Array) -> Array:
    out: Array = x / np.sqrt((x * x).sum(axis=-1, keepdims=True) + x.dtype.type(1e-6))
    return out


def _token(q: Array, k: Array, v: Array, g: Array, beta: Array, state: Array) -> tuple[Array, Array]:
    """One token: q, k[B, 1, H, dk], v[B, 1, H, dv], g, beta[B, 1, H]."""
    q0, k0, v0 = q[:, 0], k[:, 0], v[:, 0]
    s = state * np.exp(g[:, 0])[..., None, None]
    error = (v0 - np.einsum("bhkv,bhk->bhv", s, k0)) * beta[:, 0][..., None]
    s = s + k0[..., :, None] * error[..., None, :]
    return np.einsum("bhkv,bhk->bhv", s, q0)[:, None], s


def _chunk(q: Array, k: Array, v: Array, g: Array, beta: Array, state: Array) -> tuple[Array, Array]:
    """A chunk of C tokens at once; products are counted."""
    total = np.cumsum(g, axis=1)
    decay = np.exp(total).astype(v.dtype)  # [B, C, H] from the start of the chunk
    c = q.shape[1]
    ratio = np.exp(np.minimum(total[:, :, None] - total[:, None], 0.0)).transpose(0, 3, 1, 2).astype(v.dtype)
    strict, lower = np.tri(c, c, -1, dtype=v.dtype), np.tri(c, c, dtype=v.dtype)
    overlap = product("bihk,bjhk->bhij", k, k) * ratio * strict * beta.transpose(0, 2, 1)[..., None]
    inverse = np.linalg.inv(np.eye(c, dtype=v.dtype) + overlap)
    u = product("bhij,bjhv->bihv", inverse, v * beta[..., None])
    w = product("bhij,bjhk->bihk", inverse, k * (beta * decay)[..., None])
    fresh = u - product("bihk,bhkv->bihv", w, state.astype(v.dtype))
    scores = product("bihk,bjhk->bhij", q, k) * ratio * lower
    out = product("bihk,bhkv->bihv", q * decay[..., None], state.astype(v.dtype))
    out = out + product("bhij,bjhv->bihv", scores, fresh)
    tail = np.exp(total[:, -1:] - total).astype(v.dtype)
    grown = product("bihk,bihv->bhkv", k * tail[..., None], fresh)
    return out, state * np.exp(total[:, -1])[..., None, None] + grown
