"""Where groups lie, which links they occupy, and the wraparound rule."""

from dataclasses import replace

import pytest

from simulator.fabric.topology import links_of, place
from simulator.profiles import list_names, load_device, load_system

SYSTEMS = list_names("system")


def test_a_small_group_stays_in_the_innermost_tier_that_holds_it():
    pod = load_system("cloudmatrix384")
    assert [place(pod, n).inner_name for n in (2, 16, 32, 768)] == ["sio", "hccs", "ub", "ub"]
    assert place(pod, 1024).outer_name == "roce"


def test_nodes_split_a_group():
    span = place(load_system("hgx-h100"), 32)
    assert (span.domains, span.per_domain, span.outer_name) == (4, 8, "network")
    assert place(load_system("gb200-nvl72"), 32).domains == 1


def test_forced_domains():
    span = place(load_system("hgx-h100"), 2, 2)
    assert (span.domains, span.per_domain) == (2, 1)


def test_links_name_the_ports_of_a_rank():
    system = load_system("hgx-h100")
    inside, across = (links_of(place(system, n)) for n in (8, 16))
    assert [link.id for link in inside] == ["nvlink"]
    assert [link.id for link in across] == ["nvlink", "network"]
    assert inside[0].capacity == pytest.approx(450e9)


def test_too_many_ranks_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        place(load_system("hgx-h100"), 10**6)
    with pytest.raises(ValueError, match="at least one rank"):
        place(load_system("hgx-h100"), 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tpu-v5e-8", (False, False)),
        ("tpu-v6e-128", (False, True)),
        ("tpu-v5e-256", (True, True)),
        ("tpu-v7x-8", (False, False, False)),
        ("tpu-v7x-32", (False, False, False)),
        ("tpu-v7x-64", (True, True, True)),
    ],
)
def test_wraparound_rule(name, expected):
    assert load_system(name).scale_up.wrapped == expected


def test_a_cube_needs_every_axis():
    tier = replace(load_system("tpu-v7x-64").scale_up, shape="2x4x4")
    assert tier.wrapped == (False, False, False)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_complete(name):
    system = load_system(name)
    device = load_device(system.device)
    assert device.vendor == system.vendor
    assert system.levels
    assert system.host.power > 0
    assert system.all_in_power > 0
    scopes = [tier.scope for _, tier in system.levels]
    assert scopes == sorted(scopes)
    for _, tier in system.levels:
        assert tier.bandwidth > 0
        assert tier.latency > 0


@pytest.mark.parametrize("name", [n for n in list_names("device") if load_device(n).vendor])
def test_every_device_names_a_system_that_exists(name):
    assert load_system(load_device(name).default_system).vendor == load_device(name).vendor
