"""Expected distinct nodes and ranks of a token against published Monte-Carlo values and brute force."""

import numpy as np
import pytest

from simulator.fabric.routing import expected_parts


@pytest.mark.parametrize(("parts", "expected"), [(4, 3.61), (8, 5.29), (32, 7.27), (64, 7.67)])
def test_free_top_8_of_256(parts, expected):
    assert expected_parts(parts, 256, 8) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("parts", "expected"), [(2, 1.92), (4, 2.93), (8, 3.63), (16, 5.34), (32, 6.58), (64, 7.35)])
def test_group_limited_routing_of_deepseek_v3(parts, expected):
    assert expected_parts(parts, 256, 8, groups=8, max_groups=4) == pytest.approx(expected, rel=0.04)


def test_free_routing_equals_sampling():
    draws = np.random.default_rng(0)
    reached = [len({e // 8 for e in draws.choice(64, 6, replace=False)}) for _ in range(4000)]
    assert expected_parts(8, 64, 6) == pytest.approx(np.mean(reached), rel=0.02)


def test_limits():
    assert expected_parts(1, 256, 8) == 1.0
    assert expected_parts(256, 256, 8) == pytest.approx(8.0)
    assert expected_parts(8, 8, 8) == pytest.approx(8.0)
