"""Pipeline schedule and backward pass: limits that need no hardware."""

from __future__ import annotations

import pytest

from simulator.ops.work import Attention, Collective, Matmul, Work
from simulator.training.backward import ATTENTION, EXCHANGE, PRODUCT, backward_share
from simulator.training.schedule import Plan, gradient_seconds, optimizer_seconds, pipeline_seconds


def plan(**changes):
    sizes = {"devices": 64, "sequences": 256, "micro_batch": 1, "seq_len": 4096} | changes
    return Plan(**sizes)


def test_one_stage_has_no_bubble():
    assert pipeline_seconds(plan(), 0.5) == pytest.approx(4 * 0.5)


def test_bubble_is_the_textbook_fraction_and_interleaving_divides_it():
    deep = plan(pp=8)
    ideal = deep.micro_batches * 0.5 / 8
    assert pipeline_seconds(deep, 0.5) / ideal == pytest.approx(1 + 7 / deep.micro_batches)
    assert pipeline_seconds(plan(pp=8, virtual_stages=7), 0.5) / ideal == pytest.approx(1 + 1 / deep.micro_batches)


def test_tensor_parallel_ranks_are_no_replicas():
    assert plan(tp=4, pp=2).replicas == 8
    with pytest.raises(ValueError, match="must divide"):
        plan(tp=3)


def test_backward_shares_by_kind_of_work():
    product = Matmul(8, 8, 8)
    assert backward_share(Work((product,))) == PRODUCT
    assert backward_share(Work((Collective("all_reduce", 1e6, 8),))) == EXCHANGE
    assert backward_share(Work(())) == 0.0
    assert ATTENTION > PRODUCT
    assert Attention is not Matmul


def test_gradients_and_optimizer():
    assert gradient_seconds(1e9, 1, 1e11) == 0.0
    assert gradient_seconds(1e9, 4, 1e11) == pytest.approx(2 * 0.75 * 1e-2)
    assert optimizer_seconds(1e9, 1e12) == pytest.approx(0.026)
