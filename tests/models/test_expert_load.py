"""Loads of experts: hand-computed figures, limits, and agreement with drawn tokens."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.models.expert_load import Experts, Popularity, load_curve, place, spread
from simulator.ops.expert_exchange import ExpertDispatch
from simulator.ops.routing import expected_destinations, inclusion
from tests.models.placements import rank_loads

V3 = Experts(256, 8, 8, 4, ranks=32, nodes=4)
ENDLESS = 1e12
POPULARITIES = (Popularity(), Popularity("zipf", 0.5), Popularity("zipf", 1.0))


def in_the_long_run(e: Experts, popularity: Popularity, placement: str = "auto") -> float:
    """Imbalance of very many tokens."""
    return float(load_curve(e, popularity, placement).imbalance(ENDLESS))


def test_given_loads_by_hand() -> None:
    """Eight experts, two per token, four ranks: in order the ranks hold 4, 3, 6, 3 of 16."""
    popularity = Popularity("loads", loads=(3.0, 1.0, 2.0, 1.0, 4.0, 2.0, 2.0, 1.0))
    e = Experts(8, 2, ranks=4)
    assert in_the_long_run(e, popularity, "contiguous") == pytest.approx(6 / 4, abs=2e-3)
    assert in_the_long_run(e, popularity, "replicated") == pytest.approx(5 / 4, abs=2e-3)  # 4+1 3+1 2+2 2+1
    # four replicas: 3 -> 1.5 1.5, 2 -> 1 1, 4 -> 4/3 4/3 4/3; packed 2 4/3 1, 2 1 1, 1.5 4/3 1, 1.5 4/3 1
    more = replace(e, redundant=4)
    held = rank_loads(popularity.chosen(8, 2) * 8, place(popularity.chosen(8, 2), more, "replicated"), 4)
    assert sorted(held.tolist()) == pytest.approx([23 / 6, 23 / 6, 4, 13 / 3])
    assert in_the_long_run(more, popularity) == pytest.approx(13 / 12, abs=2e-3)


def test_active_experts_by_hand() -> None:
    """A token chooses expert 0 always and one of the others: 1 + (1 - (2/3)^T) experts of the first rank."""
    curve = load_curve(Experts(4, 2, ranks=2), Popularity("loads", loads=(3.0, 1.0, 1.0, 1.0)), "contiguous")
    at = dict(zip(curve.tokens, curve.active, strict=True))
    assert at[1.0] == pytest.approx(4 / 3)
    assert at[4.0] == pytest.approx(1 + 1 - (2 / 3) ** 4)


def test_spread_of_rows_by_hand() -> None:
    """Two experts of the busier rank take 3 and 1 of 4 choices in the long run; one token brings active ones a row each."""
    curve = load_curve(Experts(4, 1, ranks=2), Popularity("loads", loads=(3.0, 1.0, 1.0, 1.0)), "contiguous")
    assert curve.spread(ENDLESS) == pytest.approx(0.5, abs=1e-3)
    assert curve.spreads[0] == pytest.approx(0, abs=1e-6)
    random = load_curve(replace(V3, n_group=1, topk_group=1), Popularity(), "contiguous")
    chances = 2**14 / 32 * (1 - 1 / 32)
    assert random.spreads[random.tokens.index(pytest.approx(2**14))] == pytest.approx(np.sqrt(chances) / (2**14 / 32))


@pytest.mark.parametrize("placement", ["contiguous", "replicated"])
def test_uniform_routing_evens_out_with_tokens(placement: str) -> None:
    curve = load_curve(V3, Popularity(), placement)
    found = curve.imbalance(np.geomspace(8, 2**26, 40))
    assert (np.diff(found) < 1e-9).all()
    assert found[0] > 2
    assert found[-1] == pytest.approx(1, abs=1e-3)


def test_zipf_of_exponent_zero_is_uniform() -> None:
    zero, uniform = (load_curve(V3, p, "contiguous") for p in (Popularity("zipf", 0.0), Popularity()))
    assert zero == uniform


def test_steeper_popularity_is_more_uneven() -> None:
    found = [in_the_long_run(V3, Popularity("zipf", a)) for a in (0.0, 0.25, 0.5, 1.0, 2.0)]
    assert found == sorted(found)


@pytest.mark.parametrize("popularity", POPULARITIES)
@pytest.mark.parametrize("tokens", [64, 4096, ENDLESS])
def test_replicas_never_make_it_more_uneven(popularity: Popularity, tokens: float) -> None:
    """Within what greedy packing leaves (3%); very many leave chance and, replicas staying inside nodes, uneven nodes."""
    curves = [load_curve(replace(V3, redundant=r), popularity, "replicated") for r in (0, 32, 64, 128, 512)]
    found = [float(c.imbalance(tokens)) for c in curves]
    assert all(b <= a * 1.03 for a, b in pairwise(found))
    chance = float(load_curve(V3, Popularity()).imbalance(tokens))
    assert found[-1] <= chance * float(curves[-1].node_imbalance(tokens)) * 1.05


@settings(max_examples=40, deadline=None)
@given(
    ranks=st.sampled_from([1, 2, 8, 32]),
    limited=st.booleans(),
    redundant=st.sampled_from([0, 32]),
    exponent=st.floats(0.0, 10.0),
    placement=st.sampled_from(["auto", "contiguous", "replicated"]),
    seed=st.integers(0, 5),
)
def test_curves_stay_within_their_bounds(
    ranks: int, limited: bool, redundant: int, exponent: float, placement: str, seed: int
) -> None:
    groups = (8, 4) if limited else (1, 1)
    e = Experts(64, 6, *groups, ranks=ranks, nodes=max(ranks // 8, 1), redundant=redundant)
    curve = load_curve(e, Popularity("zipf", exponent, seed=seed), placement)
    for values in (curve.ranks, curve.nodes):
        assert min(values) >= 1
    assert max(curve.ranks) <= ranks * (1 + 1e-9)
    assert max(curve.nodes) <= e.nodes * (1 + 1e-9)
    assert list(curve.rows) == sorted(curve.rows)
    slots = (64 + redundant) // ranks
    assert all(0 < a <= slots * (1 + 1e-9) for a in curve.active)
    assert list(curve.active) == sorted(curve.active)
    if ranks == 1:
        assert set(curve.ranks) == {1.0}


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 10.0), st.sampled_from([(256, 8), (64, 6), (8, 2), (16, 16), (128, 1)]))
def test_chances_are_probabilities_that_add_up_to_the_choices(exponent: float, sizes: tuple[int, int]) -> None:
    experts, topk = sizes
    chosen = Popularity("zipf", exponent).chosen(experts, topk)
    assert chosen.sum() == pytest.approx(topk, rel=1e-5)
    assert (chosen >= 0).all()
    assert (chosen <= 1 + 1e-12).all()
    assert (np.diff(chosen) <= 1e-12).all()


def test_inclusion_agrees_with_drawn_choices() -> None:
    weights = np.arange(1, 17, dtype=np.float64) ** -1.0
    keys = np.log(weights) + np.random.default_rng(1).gumbel(size=(20000, 16))
    drawn = np.bincount(np.argpartition(-keys, 3, axis=1)[:, :4].ravel(), minlength=16) / 20000
    assert inclusion(weights, 4) == pytest.approx(drawn, abs=0.03)


@pytest.mark.parametrize(("limited", "exponent"), [(False, 0.0), (False, 0.5), (True, 0.0)])
@pytest.mark.parametrize("tokens", [16, 256])
def test_imbalance_agrees_with_drawn_tokens(limited: bool, tokens: int, exponent: float) -> None:
    """Tokens drawn one by one: groups at random, then experts by weight."""
    e = V3 if limited else replace(V3, n_group=1, topk_group=1)
    rng, found = np.random.default_rng(2), []
    for _ in range(60):
        weights = rng.permutation(np.arange(1, 257) ** -exponent)
        keys = np.log(weights) + rng.gumbel(size=(tokens, 256))
        if limited:
            dropped = rng.random((tokens, 8)).argsort(axis=1)[:, :4]
            np.put_along_axis(keys.reshape(tokens, 8, 32), dropped[:, :, None], -np.inf, axis=1)
        per_rank = np.bincount(np.argpartition(-keys, 7, axis=1)[:, :8].ravel() // 8, minlength=32)
        found.append(per_rank.max() / per_rank.mean())
    curve = load_curve(e, Popularity("zipf", exponent), "contiguous")
    assert curve.imbalance(tokens) == pytest.approx(np.mean(found), rel=0.05)


def test_a_group_limit_widens_the_spread_of_whole_groups() -> None:
    """One group per node, half of the groups kept: by hand 1/2 (8 1/4 3/4 120/127 + 4) - 1 against 8 1/8 7/8 248/255."""
    e = replace(V3, nodes=8)
    given_kept = 8 * 0.25 * 0.75 * 120 / 127
    assert spread(e, 8) == pytest.approx((0.5 * (given_kept + 4) - 1) / (8 / 8 * 7 / 8 * 248 / 255))
    assert spread(replace(e, topk_group=8), 8) == 1


def test_a_group_limit_bounds_the_nodes_of_a_token() -> None:
    for kept in range(1, 9):
        assert expected_destinations(256, 8, 8, 8, kept) <= kept
        op = ExpertDispatch(ranks=64, experts=256, topk=8, n_group=8, topk_group=kept, ranks_per_node=8)
        assert op.reached(op.nodes) <= kept
    scattered = load_curve(replace(V3, ranks=72, nodes=9, redundant=32), Popularity("zipf", 1.0))
    assert scattered.scattered
    assert not load_curve(replace(V3, redundant=32), Popularity("zipf", 1.0)).scattered


def test_loads_that_no_routing_gives_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Popularity("loads", loads=(1.0, 0.0)).chosen(2, 2)
    with pytest.raises(ValueError, match="unknown distribution"):
        Popularity("poisson").chosen(4, 2)
    with pytest.raises(ValueError, match="unknown placement"):
        place(np.ones(4), Experts(4, 2), "random")
