"""Gated delta rule: chunks equal the recurrence; decode continues prefill; the convolution keeps its state."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.causal_conv import CausalConv
from simulator.ops.delta_rule import GatedDeltaRule, recurrent, unit_length
from simulator.ops.op import Array


def case(tokens: int, seed: int = 0) -> tuple[Array, ...]:
    g = np.random.default_rng(seed)
    q, k = (g.normal(size=(2, tokens, 2, 6)) for _ in range(2))
    gates = (-3.0 * g.random((2, tokens, 4)), g.random((2, tokens, 4)))
    return q, k, g.normal(size=(2, tokens, 4, 5)), *gates, g.normal(size=(2, 4, 6, 5))


@pytest.mark.parametrize("chunk", [2, 5, 64])
def test_chunks_equal_the_recurrence(chunk: int) -> None:
    q, k, v, g, beta, state = case(17)
    out, after = GatedDeltaRule(chunk).reference(q, k, v, g, beta, state)
    keys = [np.repeat(unit_length(x), 2, axis=2) for x in (q, k)]
    expected, expected_state = recurrent(keys[0] * 6**-0.5, keys[1], v, g, beta, state)
    np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(after, expected_state, rtol=1e-10, atol=1e-12)


def test_decode_token_by_token_equals_prefill() -> None:
    *tokens, state = case(9)
    whole, last = GatedDeltaRule(4).reference(*tokens, state)
    for t in range(9):
        out, state = GatedDeltaRule(4).reference(*(x[:, t : t + 1] for x in tokens), state)
        np.testing.assert_allclose(out[:, 0], whole[:, t], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(state, last, rtol=1e-10, atol=1e-12)


def test_full_strength_without_decay_stores_the_value_under_its_key() -> None:
    q, k, v, _, _, state = case(1)
    zero, one = np.zeros((2, 1, 4)), np.ones((2, 1, 4))
    _, after = GatedDeltaRule().reference(q, k, v, zero, one, state)
    key = np.repeat(unit_length(k, 0.0), 2, axis=2)[:, 0]
    np.testing.assert_allclose(np.einsum("bhd,bhde->bhe", key, after), v[:, 0], atol=1e-5)


def test_convolution_in_pieces_equals_the_whole() -> None:
    g = np.random.default_rng(1)
    x, w, state = g.normal(size=(2, 11, 6)), g.normal(size=(6, 4)), np.zeros((2, 3, 6))
    (whole, _), parts = CausalConv().reference(x, w, state), []
    for cut in (slice(0, 2), slice(2, 3), slice(3, 11)):
        y, state = CausalConv().reference(x[:, cut], w, state)
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-12)
    first = x[0, 0, 2] * w[2, 3]
    assert whole[0, 0, 2] == pytest.approx(first / (1 + np.exp(-first)))
