"""Block transfers over measured routes."""

import numpy as np
import pytest

from simulator.fabric.link import route_of, transfer_seconds
from simulator.profiles import load_kernels, load_system

MIB = 2.0**20


def test_routes_fall_back_from_exact_to_any_scope_to_the_port():
    pod = load_system("cloudmatrix384")
    assert route_of(pod, "node", "FabricMem", "D2rH").rate < route_of(pod, "node", "FabricMem", "D2rD").rate
    assert route_of(pod, "cross-node", "RoCE", "D2rD").rate == route_of(pod, "node", "RoCE", "D2rD").rate
    assert not route_of(load_system("atlas-950"), "node", "UB", "D2rD").known


def test_reads_from_host_memory_are_local():
    assert route_of(load_system("atlas-a2-8"), "node", "RoCE", "H2rD").local_host
    assert not route_of(load_system("atlas-a2-8"), "node", "RoCE", "rH2D").local_host


def test_large_blocks_reach_the_route_and_small_ones_pay_the_issue():
    system = load_system("atlas-a2-8")
    route = route_of(system, "node", "HCCS", "rD2D")
    facts = {"path": "communication_domain", "transport": "HCCS", "scope": "node", "topology": "mesh"}
    values = load_kernels("hixl", "link", "huawei").select("davinci_c220", **facts).values
    blocks = np.array([16 * 1024.0, MIB, 16 * MIB])
    rate = 128 * MIB / transfer_seconds(blocks, 128 * MIB, route, values)
    assert np.all(np.diff(rate) > 0)
    assert rate[-1] == pytest.approx(route.rate, rel=0.02)
    assert rate[0] < 0.1 * route.rate
    assert np.all(rate <= route.rate)


def test_blocks_posted_ahead_take_the_longer_of_issue_and_transfer():
    route = route_of(load_system("atlas-a3-16"), "node", "HCCS", "D2rD")
    ahead = transfer_seconds(MIB, MIB, route, {"issue": 1e-6})
    waiting = transfer_seconds(MIB, MIB, route, {"issue": 1e-6, "overlap": 1.0})
    assert ahead == pytest.approx(MIB / route.rate)
    assert waiting == pytest.approx(ahead + 1e-6)
