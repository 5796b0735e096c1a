"""Torus collectives against the textbook formulas."""

import pytest

from simulator.fabric.torus import axis_bandwidth, exchange_rate, gather_seconds, hops, used_axes
from simulator.profiles import load_system


def test_a_line_of_four_has_one_useful_direction():
    tier = load_system("tpu-v5e-8").scale_up
    axes = used_axes(tier, 4)
    assert axes == ((4, False),)
    assert axis_bandwidth(tier, axes) == pytest.approx(45e9)
    seconds = gather_seconds("all_gather", 33554432.0, 4, tier, share=1.0)
    assert seconds == pytest.approx(33554432 * 0.75 / 45e9 + 3e-6)


def test_wrapped_axes_count_twice():
    tier = load_system("tpu-v6e-256").scale_up
    axes = used_axes(tier, 256)
    assert axes == ((16, True), (16, True))
    assert axis_bandwidth(tier, axes) == pytest.approx(4 * 90e9)
    assert hops(axes) == 16


def test_all_reduce_is_two_passes():
    tier = load_system("tpu-v7x-64").scale_up
    one = gather_seconds("reduce_scatter", 1e8, 64, tier, share=1.0)
    assert gather_seconds("all_reduce", 1e8, 64, tier, share=1.0) == pytest.approx(2 * one)


def test_all_to_all_on_a_ring_is_a_quarter_of_a_line():
    ring, line = load_system("tpu-v6e-128").scale_up, load_system("tpu-v5e-32").scale_up
    assert ring.wrapped == (False, True)
    assert exchange_rate(line, 8) > 0
    # V / (4 W) on a line of n with V the total bytes: per chip n / 4 of its buffer over W
    assert exchange_rate(line, 8) == pytest.approx(45e9 * 4 / 8)


def test_groups_on_the_same_links_share_them():
    tier = load_system("tpu-v7x-8").scale_up
    alone = gather_seconds("all_gather", 1e9, 4, tier, share=1.0)
    assert gather_seconds("all_gather", 1e9, 4, tier, share=1.0, sharing=2) == pytest.approx(2 * alone, rel=0.01)
