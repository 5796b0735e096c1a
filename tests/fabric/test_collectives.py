"""Collectives: floors, monotonicity, independence of the rank count, protocol behaviour, published points."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.fabric.collectives import collective_cost, floor_seconds
from simulator.fabric.stack import collective_stack
from simulator.fabric.topology import place
from simulator.ops.work import Collective
from simulator.profiles import list_names, load_device, load_system

KINDS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send_recv", "broadcast")
SIZES = np.array([0.0, 1.0, 512.0, 65536.0, 1e6, 3e7, 1e9])


def run(name, kind, payload, ranks, runtime=""):
    system = load_system(name)
    stack = collective_stack(runtime, system.vendor, load_device(system.device).architecture)
    return collective_cost(Collective(kind, payload, ranks), system, None, stack)


@pytest.mark.parametrize("name", list_names("system"))
@pytest.mark.parametrize("kind", KINDS)
def test_every_system_runs_every_collective(name, kind):
    cost = run(name, kind, SIZES, 2)
    assert np.all(np.isfinite(cost.seconds))
    assert np.all(np.asarray(cost.seconds) > 0)
    assert set(cost.bound()) <= set(cost.busy)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(
        ["hgx-a100", "hgx-h100", "gb200-nvl72", "l40s-8", "tpu-v6e-256", "tpu-v7x-64", "cloudmatrix384"]
    ),
    kind=st.sampled_from(KINDS),
    ranks=st.sampled_from([2, 4, 8, 16, 64]),
    size=st.floats(1, 1e10),
)
def test_never_below_the_roofline_and_more_bytes_never_cheaper(name, kind, ranks, size):
    system = load_system(name)
    one, more = run(name, kind, size, ranks), run(name, kind, 2 * size, ranks)
    assert one.seconds >= floor_seconds(Collective(kind, size, ranks), place(system, ranks)) * (1 - 1e-9)
    assert more.seconds >= one.seconds * (1 - 1e-12)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["tpu-v7x-64", "hgx-h100", "gb200-nvl72", "l40s-8"]),
    kind=st.sampled_from(KINDS),
    ranks=st.sampled_from([2, 8, 16]),
    size=st.floats(1, 1e10),
)
def test_more_bandwidth_is_never_slower(name, kind, ranks, size):
    system = load_system(name)
    tiers = {n: replace(t, bandwidth=2 * t.bandwidth, per_link=2 * t.per_link) for n, t in system.tiers.items()}
    stack = collective_stack("", system.vendor, load_device(system.device).architecture)
    term = Collective(kind, size, ranks)
    fast = collective_cost(term, replace(system, tiers=tiers), None, stack)
    assert fast.seconds <= collective_cost(term, system, None, stack).seconds * (1 + 1e-12)


def test_one_rank_costs_nothing():
    assert run("hgx-h100", "all_reduce", 1e6, 1).seconds == 0.0


def test_rank_count_does_not_change_the_work_of_the_model():
    few, many = run("hgx-h100", "all_reduce", 1e8, 16), run("hgx-h100", "all_reduce", 1e8, 16384)
    assert few.seconds < many.seconds < 10 * few.seconds


def test_scalars_stay_scalars_and_arrays_stay_arrays():
    assert isinstance(run("hgx-h100", "all_gather", 1e6, 8).seconds, float)
    assert run("hgx-h100", "all_gather", SIZES, 8).seconds.shape == SIZES.shape


def bus_bandwidth(name, kind, ranks, payload=5.4e8):
    """nccl-tests' bus bandwidth in GB/s."""
    passes = 2 if kind == "all_reduce" else 1
    return 1e-9 * passes * payload * (ranks - 1) / ranks / run(name, kind, payload, ranks).seconds


@pytest.mark.parametrize(
    ("name", "kind", "ranks", "published"),
    [
        ("hgx-h100", "all_reduce", 8, 469),
        ("gb200-nvl72", "all_reduce", 4, 628),
        ("hgx-a100", "all_reduce", 4, 234),
    ],
)
def test_published_bus_bandwidths(name, kind, ranks, published):
    assert bus_bandwidth(name, kind, ranks) == pytest.approx(published, rel=0.07)


def test_few_peers_do_not_fill_the_port_of_an_all_to_all():
    """Blackwell: the channels of one peer carry a third of the port, those of seven the rate of the pipeline."""
    pair, node = (bus_bandwidth("hgx-b200", "all_to_all", n) for n in (2, 8))
    assert pair == pytest.approx(331, rel=0.1)
    assert node == pytest.approx(563, rel=0.1)


def test_reduction_in_the_switch_beats_the_link_rate():
    """8x H100: bus bandwidth above 450 GB/s is only possible when the switch adds."""
    seconds = run("hgx-h100", "all_reduce", 4e9, 8).seconds
    assert 2 * 4e9 * 7 / 8 / seconds > 450e9


def test_framework_kernels_win_for_small_all_reduces():
    assert (
        run("hgx-h100", "all_reduce", 16384, 8, "trtllm").seconds
        < 0.4 * run("hgx-h100", "all_reduce", 16384, 8).seconds
    )


def test_across_nodes_the_network_binds():
    cost = run("hgx-h100", "all_reduce", 1e9, 16)
    assert cost.busy["nic"] > 0
    assert cost.seconds > run("hgx-h100", "all_reduce", 1e9, 8).seconds


@pytest.mark.parametrize(
    ("name", "kind", "ranks", "payload", "us", "within"),
    [
        ("hgx-h100", "all_reduce", 8, 512.0, 16.0, 0.15),
        ("hgx-h100", "all_gather", 8, 2.0**29, 1401.0, 0.1),
        ("hgx-b200", "all_to_all", 8, 2.0**29, 834.0, 0.1),
        ("gb200-nvl72", "all_reduce", 4, 2.0**29, 1282.0, 0.1),
        ("tpu-v6e-256", "all_reduce", 256, 606076928.0, 5121.0, 0.1),
    ],
)
def test_published_points(name, kind, ranks, payload, us, within):
    assert run(name, kind, payload, ranks).seconds * 1e6 == pytest.approx(us, rel=within)
