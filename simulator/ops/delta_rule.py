"""GatedDeltaRule: linear attention whose decaying state is corrected, not only added to (Qwen3-Next, Kimi Linear).

Per value head, with state S[dk, dv], decay a_t = exp(g_t), strength b_t:  S' = a_t S;  S = S' + b_t k_t (v_t - k_t^T
S')^T; o_t = S^T q_t. Source: Yang et al., Gated Delta Networks, arXiv 2412.06464 (eq. 10; chunked form section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.counting import product
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import nbytes, require, same
from simulator.ops.tensor import Dim, TensorSpec
from simulator.ops.work import Elementwise, Matmul, Term, Work


def unit_length(x: Array, eps: float = 1e-6) -> Array:
    """x[.., d] scaled to length 1."""
    out: Array = x / np.sqrt((x * x).sum(axis=-1, keepdims=True) + eps)
    return out


def recurrent(q: Array, k: Array, v: Array, g: Array, beta: Array, state: Array) -> tuple[Array, Array]:
    """Token by token: q, k[B, q, H, dk], v[B, q, H, dv], g, beta[B, q, H], state[B, H, dk, dv] -> (out, state)."""
    out = np.zeros_like(v)
    for t in range(q.shape[1]):
        state = state * np.exp(g[:, t])[..., None, None]
        error = (v[:, t] - (k[:, t, :, :, None] * state).sum(axis=2)) * beta[:, t, :, None]
        state = state + k[:, t, :, :, None] * error[:, :, None, :]
        out[:, t] = (q[:, t, :, :, None] * state).sum(axis=2)
    return out, state


def chunk_step(q: Array, k: Array, v: Array, g: Array, beta: Array, state: Array) -> tuple[Array, Array]:
    """One chunk of c tokens, heads first: q, k[B, H, c, dk], v[B, H, c, dv], g, beta[B, H, c] -> (out, state)."""
    decay = np.cumsum(g, axis=-1)
    between = np.exp(np.minimum(decay[..., :, None] - decay[..., None, :], 0.0))
    both = product("bhid,bhjd->bhij", np.concatenate([k, q], axis=2), k)
    c = k.shape[2]
    lower = np.tril(both[:, :, :c] * between, -1) * beta[..., None]
    inverse = np.linalg.inv(np.eye(c, dtype=k.dtype) + lower)
    sources = np.concatenate([v, k * np.exp(decay)[..., None]], axis=-1) * beta[..., None]
    applied = product("bhij,bhjd->bhid", inverse, sources)
    new, seen = applied[..., : v.shape[-1]], applied[..., v.shape[-1] :]
    from_state = product("bhid,bhde->bhie", np.concatenate([seen, q * np.exp(decay)[..., None]], axis=2), state)
    new = new - from_state[:, :, :c]
    out = from_state[:, :, c:] + product("bhij,bhjd->bhid", np.tril(both[:, :, c:] * between), new)
    left = np.exp(decay[..., -1:] - decay)[..., None]
    state = state * np.exp(decay[..., -1])[..., None, None] + product("bhjd,bhje->bhde", k * left, new)
    return out, state


@dataclass(frozen=True)
class GatedDeltaRule(Op):
    """q, k[B, q, G, dk], v[B, q, H, dv], g, beta[B, q, H], state[B, H, dk, dv] -> out[B, q, H, dv], state.

    g: log of the decay (<= 0). Queries and keys are normalised to length 1 first, queries scaled by dk^-0.5; H is a
    multiple of G. One token updates the state directly; more go in chunks of ``chunk`` as matrix products.
    """

    chunk: int = 64
    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Output and state."""
        q, k, v, g, beta, state = inputs
        fits = all(same(a, b) for a, b in zip(q.shape, k.shape, strict=True))
        fits = fits and all(same(x.shape[i], v.shape[i]) for x in (g, beta) for i in range(3))
        fits = fits and all(same(q.shape[i], v.shape[i]) for i in (0, 1))
        fits = fits and all(same(state.shape[i], d) for i, d in ((0, v.shape[0]), (1, v.shape[2]), (2, k.shape[3])))
        fits = fits and same(state.shape[3], v.shape[3]) and same(np.asarray(v.shape[2]) % np.asarray(k.shape[2]), 0)
        require(self, fits, "q, k, v, g, beta and state must agree", *inputs)
        return v.with_dtype(self.out_dtype), state

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One token: a pass over the state. More: products of whole (padded) chunks and a pass over the tokens."""
        q, _, v = inputs[:3]
        batch, q_len, heads, dv = v.shape
        dk = q.shape[3]
        if np.all(np.asarray(q_len) == 1):
            state_rows = np.asarray(batch, dtype=np.float64) * heads * dk
            return Work((Elementwise("delta_rule", state_rows, dv, nbytes(inputs), nbytes(outputs), ops=8.0),))
        chunks = np.ceil(np.asarray(q_len) / self.chunk) * batch * heads
        small = Elementwise("delta_decay", chunks * self.chunk, self.chunk, nbytes(inputs), nbytes(outputs), 8.0, 1.0)
        return Work((small, *self._products(chunks, dk, dv)))

    def _products(self, batch: Dim, dk: Dim, dv: Dim) -> tuple[Term, ...]:
        """The five products of every chunk; their operands were just produced."""
        c = self.chunk
        shapes: tuple[tuple[Dim, Dim, Dim], ...] = (
            (2 * c, c, dk),
            (c, dk + dv, c),
            (2 * c, dv, dk),
            (c, dv, c),
            (dk, dv, c),
        )
        return tuple(Matmul(m, n, k, rate=self.rate, batch=batch, b_is_weight=False) for m, n, k in shapes)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Recurrent for one token, chunked beyond."""
        q, k, v, g, beta, state = arrays
        repeat = v.shape[2] // k.shape[2]
        q, k = (np.repeat(unit_length(x), repeat, axis=2) for x in (q, k))
        q = q * q.dtype.type(q.shape[-1] ** -0.5)
        if q.shape[1] == 1:
            return recurrent(q, k, v, g, beta, state)
        pad = -q.shape[1] % self.chunk
        padded = [np.pad(x, [(0, 0), (0, pad), *[(0, 0)] * (x.ndim - 2)]) for x in (q, k, v, g, beta)]
        heads_first = [np.moveaxis(x, 2, 1) for x in padded]
        outs = []
        for start in range(0, q.shape[1] + pad, self.chunk):
            part = [x[:, :, start : start + self.chunk] for x in heads_first]
            out, state = chunk_step(part[0], part[1], part[2], part[3], part[4], state)
            outs.append(out)
        return np.moveaxis(np.concatenate(outs, axis=2), 1, 2)[:, : q.shape[1]], state

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One token, whole chunks, a padded chunk."""
        gen = rng(49)

        def case(q: int) -> Example:
            keys = [gen.normal(size=(2, q, 2, 6)) for _ in range(2)]
            values, state = gen.normal(size=(2, q, 4, 5)), gen.normal(size=(2, 4, 6, 5))
            gates = (-gen.random((2, q, 4)), gen.random((2, q, 4)))
            dtypes = ("bfloat16",) * 3 + ("fp32",) * 3
            return Example(cls(chunk=4), (*keys, values, *gates, state), dtypes)

        return case(1), case(8), case(7)
