"""Linear attention: chunks equal the token-by-token recurrence; decode continues prefill; states survive any cut."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.gated_delta import GatedDeltaRule
from simulator.ops.op import Array, Op
from simulator.ops.short_conv import ShortConv
from simulator.ops.state_space import StateSpaceScan


def delta(tokens: int) -> tuple[list[Array], list[Array], Array]:
    """(per-token inputs, per-head inputs, state) of a gated delta rule."""
    g = np.random.default_rng(0)
    q, k = (g.normal(size=(2, tokens, 2, 6)) for _ in range(2))
    per_token = [q, k, g.normal(size=(2, tokens, 4, 8)), g.normal(size=(2, tokens, 4)), g.normal(size=(2, tokens, 4))]
    return per_token, [g.normal(size=4), g.normal(size=4)], g.normal(size=(2, 4, 6, 8))


def space(tokens: int) -> tuple[list[Array], list[Array], Array]:
    """The same of a state-space scan."""
    g = np.random.default_rng(1)
    b, c = (g.normal(size=(2, tokens, 2, 8)) for _ in range(2))
    per_token = [g.normal(size=(2, tokens, 4, 6)), g.normal(size=(2, tokens, 4)), b, c]
    return per_token, [g.normal(size=4) for _ in range(3)], g.normal(size=(2, 4, 6, 8))


CASES = [(GatedDeltaRule, delta), (StateSpaceScan, space)]


@pytest.mark.parametrize("chunk", [2, 5, 64])
@pytest.mark.parametrize(("op", "make"), CASES)
def test_chunks_equal_the_recurrence(op: type[Op], make: object, chunk: int) -> None:
    per_token, per_head, state = make(17)
    out, after = op(chunk=chunk).reference(*per_token, *per_head, state)
    expected, expected_state = op().reference(*per_token, *per_head, state)
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(after, expected_state, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("op", "make"), CASES)
def test_decode_continues_prefill(op: type[Op], make: object) -> None:
    per_token, per_head, state = make(9)
    whole, last = op(chunk=4).reference(*per_token, *per_head, state)
    _, state = op(chunk=4).reference(*(x[:, :5] for x in per_token), *per_head, state)
    for t in range(5, 9):
        out, state = op().reference(*(x[:, t : t + 1] for x in per_token), *per_head, state)
        np.testing.assert_allclose(out[:, 0], whole[:, t], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(state, last, rtol=1e-9, atol=1e-10)


def test_delta_rule_at_full_strength_stores_the_value_under_its_key() -> None:
    (q, k, v, a, b), (log, bias), state = delta(1)
    _, after = GatedDeltaRule().reference(q, k, v, a, np.full_like(b, 50.0), log, bias, state)
    key = np.repeat(k / np.linalg.norm(k, axis=-1, keepdims=True), 2, axis=2)[:, 0]
    np.testing.assert_allclose(np.einsum("bhd,bhde->bhe", key, after), v[:, 0], atol=1e-4)


def test_state_space_step_written_out() -> None:
    (x, dt, b, c), (log, skip, bias), state = space(1)
    out, after = StateSpaceScan().reference(x, dt, b, c, log, skip, bias, state)
    d = np.log1p(np.exp(dt[1, 0, 3] + bias[3]))
    s = np.exp(-np.exp(log[3]) * d) * state[1, 3] + np.outer(d * x[1, 0, 3], b[1, 0, 1])
    np.testing.assert_allclose(after[1, 3], s, rtol=1e-12)
    np.testing.assert_allclose(out[1, 0, 3], s @ c[1, 0, 1] + skip[3] * x[1, 0, 3], rtol=1e-12)


def test_convolution_in_pieces_equals_the_whole() -> None:
    g = np.random.default_rng(2)
    x, w, state = g.normal(size=(2, 11, 6)), g.normal(size=(6, 4)), np.zeros((2, 3, 6))
    (whole, _), parts = ShortConv().reference(x, w, state), []
    for cut in (slice(0, 2), slice(2, 3), slice(3, 11)):
        y, state = ShortConv().reference(x[:, cut], w, state)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-12)
    first = x[0, 0, 2] * w[2, 3]
    assert whole[0, 0, 2] == pytest.approx(first / (1 + np.exp(-first)))
