"""N14: the DeepSeek-V3 gate, and the other scorings."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.hash_gate import HashGate
from simulator.ops.moe_gate import MoeGate

V3 = MoeGate(8, n_group=8, topk_group=4, scaling=2.5)


def test_n14_four_groups_eight_experts_weights_sum_to_the_scaling() -> None:
    g = np.random.default_rng(0)
    logits, bias = g.normal(size=(500, 256)), 0.3 * g.normal(size=256)
    indices, weights = V3.reference(logits, bias)
    for row in indices:
        assert len(set(row)) == 8
        assert len(set(row // 32)) <= 4
    np.testing.assert_allclose(weights.sum(axis=1), 2.5, rtol=1e-12)


def test_n14_bias_changes_the_selection_but_not_the_weights() -> None:
    g = np.random.default_rng(1)
    logits, bias = g.normal(size=(50, 256)), g.normal(size=256)
    indices, weights = V3.reference(logits, bias)
    assert (indices != V3.reference(logits, 0 * bias)[0]).any()
    chosen = np.take_along_axis(1 / (1 + np.exp(-logits)), indices, axis=1)
    np.testing.assert_allclose(weights, 2.5 * chosen / chosen.sum(axis=1, keepdims=True), rtol=1e-12)


def test_group_is_worth_the_sum_of_its_two_best() -> None:
    logits = np.full((1, 8), -10.0)
    logits[0, [0, 4, 5]] = [3.0, 2.0, 2.0]  # group 0 has the best expert, group 1 the best pair
    assert set(MoeGate(2, n_group=2, topk_group=1).reference(logits)[0][0]) == {4, 5}
    assert 0 in MoeGate(2, n_group=2, topk_group=1, group_top=1).reference(logits)[0][0]


def test_softmax_gate_normalised_equals_softmax_over_the_chosen() -> None:
    logits = np.random.default_rng(2).normal(size=(20, 16))
    indices, weights = MoeGate(4, score="softmax").reference(logits)
    top = np.take_along_axis(logits, indices, axis=1)
    np.testing.assert_allclose(weights, np.exp(top) / np.exp(top).sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_array_equal(indices, np.argsort(-logits, axis=1)[:, :4])


def test_hash_gate_takes_experts_from_the_table_and_weights_from_the_logits() -> None:
    g = np.random.default_rng(3)
    logits, table = g.normal(size=(6, 8)), np.array([[0, 5], [7, 1], [2, 3]])
    ids = np.array([2, 0, 1, 1, 0, 2])
    indices, weights = HashGate(2, scaling=1.5).reference(logits, ids, table)
    np.testing.assert_array_equal(indices, table[ids])
    scores = np.sqrt(np.log1p(np.exp(np.take_along_axis(logits, table[ids], axis=1))))
    np.testing.assert_allclose(weights, 1.5 * scores / scores.sum(axis=1, keepdims=True), rtol=1e-12)


def test_unknown_score_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="sqrt_softplus"):
        MoeGate(2, score="relu").reference(np.zeros((1, 4)))
