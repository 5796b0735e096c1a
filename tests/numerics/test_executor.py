"""The numeric backend: groups of ranks, slices of tensors, and runs that can fail."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.models.graph import Value
from simulator.models.layout import Layout
from simulator.numerics.check import Check, relative_error, worst
from simulator.numerics.ranks import Ranks
from simulator.numerics.scale_down import scale_down
from simulator.numerics.tensors import local_input, local_weight, shape_of
from simulator.numerics.trial import decode, logits, prefill, run
from simulator.ops.tensor import TensorSpec
from simulator.profiles import load_model


def test_tensor_parallel_ranks_are_neighbours_and_data_parallel_ranks_are_not() -> None:
    ranks = Ranks({"tp": 2, "dp": 2, "ep": 4})
    assert ranks.count == 4
    assert ranks.members("tp") == [[0, 1], [2, 3]]
    assert ranks.members("dp") == [[0, 2], [1, 3]]
    assert ranks.members("ep") == [[0, 1, 2, 3]]
    assert [ranks.position(r, "dp") for r in range(4)] == [0, 0, 1, 1]


def test_expert_tensor_parallel_is_inside_an_expert_group() -> None:
    ranks = Ranks({"tp": 4, "ep": 2, "moe_tp": 2})
    assert ranks.members("ep") == [[0, 2], [1, 3]]
    assert ranks.members("moe_tp") == [[0, 1], [2, 3]]
    with pytest.raises(KeyError, match="known: dp, cp, tp, ep, moe_tp"):
        ranks.members("pp")


def test_blocks_of_a_fused_weight_are_cut_apart_and_few_slices_are_shared() -> None:
    """Two KV heads over four ranks: each head lives on two of them."""
    whole = np.arange(12).reshape(12, 1)
    spec = TensorSpec((4, 1))
    value = Value(0, "qkv", spec, "weight", (0, "tp"), None, (8, 4), (4, 2))
    held = [local_weight(value, whole, r, Ranks({"tp": 4})).ravel().tolist() for r in range(4)]
    assert held == [[0, 1, 8, 9], [2, 3, 8, 9], [4, 5, 10, 11], [6, 7, 10, 11]]


def test_replicas_of_experts_fill_the_slots_beyond_the_logical_ones() -> None:
    whole = np.arange(4).reshape(4, 1, 1)
    value = Value(0, "experts.up", TensorSpec((3, 1, 1)), "weight", (0, "ep"))
    held = [local_weight(value, whole, r, Ranks({"dp": 2, "ep": 2})).ravel().tolist() for r in range(2)]
    assert held == [[0, 1, 2], [3, 0, 1]]


def test_inputs_are_split_by_request_over_data_parallel_ranks() -> None:
    value = Value(0, "positions", TensorSpec((1, 3)), "input")
    held = [local_input(value, np.arange(6).reshape(2, 3), r, Ranks({"dp": 2, "tp": 2})) for r in range(4)]
    assert [h.ravel().tolist() for h in held] == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]


def test_symbolic_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="whole shapes"):
        shape_of(TensorSpec((np.array([1, 2]), 3)))


def test_a_run_counts_flops_and_collectives_send_bytes() -> None:
    tiny = scale_down(load_model("llama-3.1-8b"))
    result = run(tiny, decode(9), Layout(tp=4))
    by_name = {n.name: result.counts[n.id] for n in result.graph.nodes}
    assert by_name["qkv"].flops > 0
    assert by_name["o_proj_all_reduce"].sent > 0
    assert result.ranks.count == 4


def test_equal_runs_are_equal_and_other_inputs_are_not() -> None:
    tiny = scale_down(load_model("deepseek-v3.2"))
    first, second = run(tiny, prefill(8)), run(tiny, prefill(8))
    assert worst(logits(first), logits(second)) == 0.0
    stretched = {"positions": 3 * np.broadcast_to(np.arange(8), (4, 8))}
    assert worst(logits(run(tiny, prefill(8), given=stretched)), logits(first)) > 1e-3


def test_a_wrong_slice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: if every rank held the first slice, the sharded result would differ."""
    tiny = scale_down(load_model("llama-3.1-8b"))
    expected = logits(run(tiny, prefill(8)))
    monkeypatch.setattr(
        "simulator.numerics.executor.local_weight", lambda v, w, _rank, ranks: local_weight(v, w, 0, ranks)
    )
    assert worst(logits(run(tiny, prefill(8), Layout(tp=4))), expected) > 1e-3


def test_checks_fail_on_nan_and_on_too_large_errors() -> None:
    assert Check("N1", "x", 0.0, 0.0).passed
    assert not Check("N1", "x", 2e-12, 1e-12).passed
    assert not Check("N1", "x", float("nan"), 1.0).passed
    assert Check("N1", "x", 0.5, 1.0).row() == {"id": "N1", "what": "x", "error": 0.5, "bound": 1.0, "passed": True}


def test_relative_error_of_mismatched_shapes_is_infinite() -> None:
    assert relative_error(np.zeros(3), np.zeros(4)) == float("inf")
    assert worst([], []) == float("inf")
    assert relative_error(np.array([1.0, 1.0]), np.array([1.0, 0.0])) == 1.0
