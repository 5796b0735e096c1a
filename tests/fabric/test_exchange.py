"""Expert dispatch and combine: floors, mechanisms, and the published low-latency points of DeepEP on H800."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fabric.exchange import exchange_cost, floor_seconds
from simulator.fabric.expert_low_latency import busiest_messages, expected_largest
from simulator.fabric.stack import exchange_stack
from simulator.fabric.topology import place
from simulator.ops.work import ExpertExchange
from simulator.profiles import list_names, load_device, load_system

DISPATCH_BYTES, COMBINE_BYTES = 7392.0, 14336.0


def term(direction="dispatch", tokens=128, ranks=8, mode="low_latency", hidden_bytes=0.0, **more):
    copy = hidden_bytes or (DISPATCH_BYTES if direction == "dispatch" else COMBINE_BYTES)
    return ExpertExchange(direction, tokens, 8, 256, ranks, 7168, copy, mode, **more)


def run(name, what, runtime="", **more):
    system = load_system(name)
    return exchange_cost(
        what, system, exchange_stack(runtime, system.vendor, load_device(system.device).architecture), **more
    )


# microseconds, 128 tokens, hidden 7168, top-8, FP8 dispatch and BF16 combine (deepseek-ai/DeepEP, docs/legacy.md)
PUBLISHED = [
    (8, 77, 114),
    (16, 118, 195),
    (32, 155, 273),
    (64, 173, 314),
    (128, 192, 369),
    (256, 194, 360),
]


@pytest.mark.parametrize(("ranks", "dispatch", "combine"), PUBLISHED)
def test_published_low_latency_points_of_h800(ranks, dispatch, combine):
    sent, back = (run("deepseek-h800", term(d, ranks=ranks)).seconds * 1e6 for d in ("dispatch", "combine"))
    assert sent == pytest.approx(dispatch, rel=0.07)
    assert back == pytest.approx(combine, rel=0.07)


def test_the_busiest_of_many_ranks_receives_more_than_the_mean():
    assert expected_largest(1) == 0.0
    assert expected_largest(8) == pytest.approx(1.424, rel=0.01)  # tables of normal order statistics
    assert expected_largest(100) == pytest.approx(2.508, rel=0.01)
    mean = 128 * 8
    few, many = busiest_messages(term(ranks=8)), busiest_messages(term(ranks=256))
    assert mean < few < many < 1.1 * mean
    assert busiest_messages(term(tokens=0)) == 0.0


def test_short_messages_use_less_of_the_link():
    """The gap between two messages weighs more on FP8 copies than on BF16 ones; below it the ports are idle."""
    fp8, bf16 = (run("hgx-b200", term("dispatch", 65536, hidden_bytes=b)).seconds for b in (7392.0, 14336.0))
    assert 0.5 * bf16 < fp8 < bf16


def test_forwarding_inside_costs_the_sms_of_an_exchange_across_nodes():
    """Between two nodes few SMs, not the port, set the time; with enough of them the port does."""
    what = term(tokens=8192, ranks=16, mode="normal")
    few, many = (run("hgx-h100", what, sms=n) for n in (4, 64))
    assert few.busy["sm_copy"] > 2 * few.busy["nic"]
    assert many.busy["nic"] > many.busy["sm_copy"]
    assert many.seconds == pytest.approx(many.busy["nic"], rel=0.1)


@pytest.mark.parametrize("name", list_names("system"))
@pytest.mark.parametrize("mode", ["low_latency", "normal"])
@pytest.mark.parametrize("direction", ["dispatch", "combine"])
def test_every_system_can_dispatch_and_combine(name, mode, direction):
    tokens = np.array([0.0, 1.0, 128.0, 8192.0])
    cost = run(name, term(direction, tokens, 8, mode))
    assert np.all(np.isfinite(cost.seconds))
    assert np.all(np.diff(cost.seconds) >= 0)
    assert "latency" in cost.busy


@settings(max_examples=50, deadline=None)
@given(
    name=st.sampled_from(["hgx-h100", "deepseek-h800", "hgx-b200", "gb200-nvl72", "tpu-v7x-64", "cloudmatrix384"]),
    mode=st.sampled_from(["low_latency", "normal"]),
    ranks=st.sampled_from([2, 8, 16, 32, 64]),
    tokens=st.floats(0, 1e5),
)
def test_never_below_the_roofline_nor_faster_with_less_bandwidth(name, mode, ranks, tokens):
    system, what = load_system(name), term("dispatch", tokens, ranks, mode)
    seconds = run(name, what).seconds
    assert seconds >= floor_seconds(what, place(system, ranks)) * (1 - 1e-9)
    stack = exchange_stack("", system.vendor, load_device(system.device).architecture)
    tiers = {n: replace(t, bandwidth=t.bandwidth / 2, per_link=t.per_link / 2) for n, t in system.tiers.items()}
    assert exchange_cost(what, replace(system, tiers=tiers), stack).seconds >= seconds * (1 - 1e-9)


def test_node_limited_routing_sends_less_across_the_network():
    free = run("deepseek-h800", term(tokens=4096, ranks=64, mode="normal"))
    limited = run("deepseek-h800", term(tokens=4096, ranks=64, mode="normal", groups=8, max_groups=4))
    assert limited.seconds < 0.8 * free.seconds


def test_more_sms_move_more_until_the_port_binds():
    few, some, many = (run("hgx-h100", term(tokens=8192, mode="normal"), sms=n).seconds for n in (4, 12, 24))
    assert few > 2 * some
    assert some > many


def test_low_latency_copies_are_not_shared_but_normal_ones_are():
    what = term(tokens=1024, ranks=8)
    assert run("hgx-h100", what).bytes["wire"] > run("hgx-h100", replace(what, mode="normal")).bytes["wire"]


def test_rank_count_does_not_change_the_work_of_the_model():
    assert np.isfinite(run("hgx-h100", replace(term(ranks=16384), experts=16384)).seconds)


def test_torus_scatter_is_bound_by_bisection():
    """v7x 2x2x4 mesh, 32 core-ranks, 512 tokens of 8192 bytes to 8 experts: 650 us measured."""
    what = ExpertExchange("dispatch", 512, 8, 256, 32, 8192, 8192.0, "normal")
    assert run("tpu-v7x-16", what).seconds * 1e6 == pytest.approx(650, rel=0.15)
