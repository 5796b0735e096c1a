"""Expert loads: totals, bounds, determinism and the shape of each routing rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices.expert_loads import Routing, expert_loads

DISTRIBUTIONS = ("balanced", "uniform", "power_law_1.01", "power_law_1.2", "power_law_sampled_1.9")


@settings(max_examples=80, deadline=None)
@given(
    tokens=st.integers(1, 20000),
    experts=st.sampled_from([8, 128, 160, 256, 384]),
    ranks=st.sampled_from([1, 2, 4, 8]),
    topk=st.sampled_from([2, 6, 8]),
    distribution=st.sampled_from(DISTRIBUTIONS),
)
def test_rows_are_conserved_and_no_expert_gets_a_token_twice(
    tokens: int, experts: int, ranks: int, topk: int, distribution: str
) -> None:
    loads = expert_loads(Routing(tokens, experts, topk, ranks, distribution))
    assert loads.shape[1] == experts // ranks
    assert (loads >= 0).all()
    assert (loads <= tokens + 1e-6).all()
    total = loads.sum(axis=1)
    if ranks == 1 and distribution != "uniform":
        assert np.allclose(total, tokens * topk, rtol=1e-3)
    assert (total <= tokens * topk * (1 + 1e-3)).all()


def test_the_fullest_rank_of_a_power_law_is_fuller_than_a_fair_share() -> None:
    loads = expert_loads(Routing(4096, 256, 8, 16, "power_law_1.2"))
    assert (loads.sum(axis=1) > 4096 * 8 / 16 * 1.2).all()


def test_balanced_routing_is_even_and_small_batches_touch_one_expert_per_choice() -> None:
    assert expert_loads(Routing(4096, 256, 8, 8, "balanced")).tolist() == [[128.0] * 32]
    assert int((expert_loads(Routing(2, 256, 8, 1, "balanced")) > 0).sum()) == 16


def test_the_same_routing_gives_the_same_loads() -> None:
    routing = Routing(777, 256, 8, 4, "power_law_1.01")
    assert np.array_equal(expert_loads(routing), expert_loads(routing))


def test_a_group_limited_gate_keeps_the_number_of_choices() -> None:
    loads = expert_loads(Routing(300, 256, 8, 1, "power_law_1.2", "group_limited"))
    assert np.allclose(loads.sum(axis=1), 300 * 8)


def test_an_unknown_distribution_is_named() -> None:
    with pytest.raises(ValueError, match="zipf"):
        expert_loads(Routing(8, 8, 2, 1, "zipf"))


def test_no_tokens_mean_no_rows() -> None:
    assert expert_loads(Routing(0, 256, 8, 8, "power_law_1.2")).sum() == 0.0
