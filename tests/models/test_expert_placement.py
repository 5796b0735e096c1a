"""Placement of experts: the published EPLB example, replicas by hand, and what holds for any loads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.models.expert_placement import contiguous, pack, replicate, replicated, slot_loads
from tests.models.placements import rank_loads


@st.composite
def groups(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """(loads of the experts, ranks, redundant experts) that divide."""
    ranks, each, more = draw(st.sampled_from([1, 2, 3, 8])), draw(st.integers(1, 6)), draw(st.integers(0, 4))
    size = ranks * each
    loads = draw(st.lists(st.floats(0.0, 1000.0), min_size=size, max_size=size))
    return np.array(loads) + 1e-3, ranks, more * ranks


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        (
            [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
            [[5, 6], [5, 7], [8, 4], [3, 4], [10, 9], [10, 2], [0, 1], [11, 1]],
        ),
        (
            [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
            [[7, 10], [6, 8], [6, 11], [8, 9], [2, 4], [5, 1], [5, 0], [3, 1]],
        ),
    ],
)
def test_the_two_layers_of_the_published_example(loads: list[int], expected: list[list[int]]) -> None:
    """12 experts in 4 groups, 4 redundant, 2 nodes of 4 GPUs (README of deepseek-ai/EPLB)."""
    placement = replicated(np.array(loads, dtype=np.float64), 4, 8, groups=4, nodes=2)
    assert placement.reshape(8, 2).tolist() == expected


def test_replicas_go_to_the_most_load_per_replica() -> None:
    assert replicate(np.array([6.0, 3.0, 1.0]), 6).tolist() == [0, 1, 2, 0, 0, 1]
    assert slot_loads(np.array([6.0, 3.0]), np.array([0, 1, 0])).tolist() == [3, 3, 3]


def test_contiguous_placement_is_checkpoint_order_and_repeats_the_first_experts() -> None:
    placement = contiguous(4, 2)
    assert placement.tolist() == [0, 1, 2, 3, 0, 1]
    assert rank_loads(np.array([4.0, 2.0, 1.0, 1.0]), placement, 3).tolist() == [3, 2, 3]


def test_packs_take_the_heaviest_first_and_hold_equally_many() -> None:
    assert pack(np.array([1.0, 5.0, 4.0, 2.0]), 2).tolist() == [[1, 0], [2, 3]]
    with pytest.raises(ValueError, match="do not divide"):
        pack(np.ones(5), 2)
    with pytest.raises(ValueError, match="do not hold"):
        replicate(np.ones(5), 4)


@settings(max_examples=150, deadline=None)
@given(groups())
def test_loads_are_conserved_and_every_expert_has_a_slot(case: tuple[np.ndarray, int, int]) -> None:
    loads, ranks, redundant = case
    for placement in (contiguous(len(loads), redundant), replicated(loads, redundant, ranks)):
        assert len(placement) == len(loads) + redundant
        assert set(placement) == set(range(len(loads)))
        per_rank = rank_loads(loads, placement, ranks)
        assert per_rank.shape == (ranks,)
        assert per_rank.sum() == pytest.approx(loads.sum())
        assert per_rank.max() >= per_rank.mean() * (1 - 1e-12)


@settings(max_examples=150, deadline=None)
@given(groups())
def test_the_hottest_slot_never_grows_with_replicas_and_bounds_the_busiest_rank(
    case: tuple[np.ndarray, int, int],
) -> None:
    """Greedy packing is not monotone: what it leaves is at most the hottest replica above the mean."""
    loads, ranks, _ = case
    hottest = [slot_loads(loads, replicated(loads, n * ranks, ranks)).max() for n in range(4)]
    assert all(b <= a * (1 + 1e-12) for a, b in pairwise(hottest))
    for n in range(4):
        per_rank = rank_loads(loads, replicated(loads, n * ranks, ranks), ranks)
        assert per_rank.max() <= (per_rank.mean() + hottest[n]) * (1 + 1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([(8, 4), (8, 8), (4, 2), (8, 2)]), st.integers(0, 2))
def test_groups_stay_on_one_node(seed: int, sizes: tuple[int, int], more: int) -> None:
    n_group, nodes = sizes
    ranks = 2 * nodes
    loads = np.random.default_rng(seed).random(n_group * 8)
    placement = replicated(loads, more * ranks, ranks, n_group, nodes)
    nodes_of = [
        {int(s) for s in np.flatnonzero(placement // 8 == g) // (len(placement) // nodes)} for g in range(n_group)
    ]
    assert all(len(found) == 1 for found in nodes_of)


def test_slots_must_divide_over_the_ranks() -> None:
    with pytest.raises(ValueError, match="9 slots do not divide over 4 ranks"):
        replicated(np.ones(8), 1, 4)
