"""Scenarios that repeat are costed once, and nothing changes."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.devices import repeated
from simulator.devices.cost import Cost
from simulator.devices.repeated import cost_of_distinct
from simulator.ops.work import Attention, Matmul, Term


def counting(calls: list[int]):  # type: ignore[no-untyped-def]
    """A cost that depends on the row and notes how many rows it was asked for."""

    def cost(term: Term) -> Cost:
        size = np.asarray(term.flops() * 1.0)
        calls.append(size.size)
        return Cost(size * 1e-15, {"tensor": size, "launch": 1.0}, {"hbm": size + 3})

    return cost


def terms() -> list[Term]:
    rng = np.random.default_rng(0)
    few, many = rng.integers(1, 9, 500), rng.integers(1, 4, 500)
    return [Matmul(few, 128, 64), Matmul(few, many, 64), Attention(few, 1, many, 8, 1, 64, 64)]


@pytest.mark.parametrize("term", terms())
def test_repeated_scenarios_are_costed_once_with_equal_results(term: Term) -> None:
    calls: list[int] = []
    found, expected = cost_of_distinct(term, counting(calls)), counting([])(term)
    assert calls[0] <= 24
    np.testing.assert_array_equal(found.seconds, expected.seconds)
    np.testing.assert_array_equal(found.busy["tensor"], expected.busy["tensor"])
    np.testing.assert_array_equal(found.bytes["hbm"], expected.bytes["hbm"])
    assert found.busy["launch"] == 1.0


@pytest.mark.parametrize(
    "term",
    [Matmul(7, 128, 64), Matmul(np.arange(1, 9), 8, 8), Matmul(np.arange(1, 501), 8, 8)],
    ids=["one scenario", "few scenarios", "all different"],
)
def test_other_terms_pass_through(term: Term) -> None:
    calls: list[int] = []
    cost_of_distinct(term, counting(calls))
    assert calls == [np.size(term.flops())]
    assert repeated.FEWEST > 8
