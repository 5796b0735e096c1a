"""Vector passes of an Ascend device: what is cold, what waits, and what a generation changes."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.devices.ascend.scatter import Picked, Routing, combine_cost, picked_cost, regroup_cost, routing_cost
from simulator.devices.ascend.vector import elementwise_cost, gather_cost, memory
from simulator.ops.work import Elementwise, Gather
from simulator.profiles import Kernel, load_device, load_kernels
from simulator.profiles.ascend import Ascend

MIB = 2.0**20


def device(name: str) -> Ascend:
    found = load_device(name)
    assert isinstance(found, Ascend)
    return found


def kernel(on: Ascend, **traits: str) -> Kernel:
    found = load_kernels("cann", "elementwise", "huawei").select(on.architecture, name="any")
    return Kernel(found.runtime, found.family, {**found.traits, **traits}, found.values)


def seconds(term: Elementwise, name: str, **traits: str) -> float:
    on = device(name)
    return float(np.asarray(elementwise_cost(term, on, kernel(on, **traits)).seconds))


@pytest.mark.parametrize("name", ["ascend-910b2", "ascend-950pr"])
def test_small_results_stay_in_l2_and_large_ones_reach_memory(name: str) -> None:
    on = device(name)
    small, large = memory(8 * MIB, 8 * MIB, on), memory(4096 * MIB, 4096 * MIB, on)
    assert float(small.hbm_bytes) == pytest.approx(8 * MIB, rel=0.01)
    assert float(large.hbm_bytes) == pytest.approx(8192 * MIB, rel=0.01)
    assert float(small.l2_bytes) == 16 * MIB
    assert float(memory(8 * MIB, 8 * MIB, on, warm=True).hbm_bytes) < 0.01 * 8 * MIB


def test_energy_is_charged_for_memory_traffic_only() -> None:
    on = device("ascend-950pr")
    term = Elementwise("relu", 1024, 1024, 2 * MIB, 2 * MIB)
    assert float(elementwise_cost(term, on, kernel(on)).bytes["hbm"]) == pytest.approx(2 * MIB, rel=0.01)


def test_many_short_rows_wait_for_the_scalar_unit_on_910b_and_hardly_on_950() -> None:
    def of(rows: int, cols: int) -> Elementwise:
        return Elementwise("quantize_int8_dynamic", rows, cols, 2.0 * rows * cols, 1.0 * rows * cols, 7.0)

    few, many = of(1024, 8192), of(16384, 512)  # the same elements
    assert seconds(many, "ascend-910b2") > 1.8 * seconds(few, "ascend-910b2")
    assert seconds(many, "ascend-950pr") < 1.2 * seconds(few, "ascend-950pr")


def test_short_rows_of_a_norm_share_a_round_trip_on_910b() -> None:
    def of(name: str) -> Elementwise:
        return Elementwise(name, 100_000, 128, 2.0 * 12.8e6, 2.0 * 12.8e6, 4.0)

    assert seconds(of("add_rmsnorm_quant_mx"), "ascend-910b2") > 4 * seconds(of("rmsnorm"), "ascend-910b2")


def test_a_strided_axis_is_transposed_around_a_reduction_on_910b_only() -> None:
    term = Elementwise("softmax", 131072, 256, 64 * MIB, 64 * MIB, 6.0, 1.0)
    assert seconds(term, "ascend-910b2", axis="strided") > 1.8 * seconds(term, "ascend-910b2")
    assert seconds(term, "ascend-950pr", axis="strided") < 1.1 * seconds(term, "ascend-950pr")


def test_a_transposition_is_slower_than_a_copy() -> None:
    term = Elementwise("transpose", 4096, 4096, 32 * MIB, 32 * MIB, 0.0)
    for name in ("ascend-910b2", "ascend-950pr"):
        assert seconds(term, name, axis="strided") > 1.5 * seconds(term, name)


def test_gathered_rows_wait_in_turn_on_each_core() -> None:
    on = device("ascend-910b2")
    waiting = Kernel("cann", "sparse_gather", {}, {"row_clocks": 250.0})
    cores = int(on.core.aiv)
    one, two = (float(gather_cost(Gather(n, 64.0), on, waiting).seconds) for n in (cores, cores + 1))
    assert two - one == pytest.approx((250.0 + 64.0 / on.efficiencies.vector_l2) / on.core.clock)


def test_a_token_with_one_row_waits_as_long_as_one_with_four() -> None:
    on = device("ascend-910b2")
    waiting = Kernel("cann", "sparse_gather", {}, {"row_clocks": 200.0, "token_clocks": 1000.0})
    tokens = 48 * 20.0
    one, four = (float(combine_cost(tokens * n, 64.0, n, on, waiting).seconds) for n in (1, 4))
    eight = float(combine_cost(tokens * 8, 64.0, 8, on, waiting).seconds)
    assert one == four
    assert eight > 1.4 * four


def test_runs_cost_a_walk_however_short_they_are() -> None:
    on = device("ascend-910b2")
    walking = Kernel("cann", "sparse_gather", {}, {"segment_clocks": 90.0})
    cores = int(on.core.aiv)
    few, many = (float(regroup_cost(9600, 64.0, n, on, walking).seconds) for n in (cores, 10 * cores))
    assert many - few == pytest.approx(9 * cores * 90.0 / on.core.clock)


def test_a_single_run_is_moved_by_a_single_core() -> None:
    on = device("ascend-910b2")
    one, spread = (
        float(regroup_cost(9600, 1024.0, n, on, Kernel("cann", "sparse_gather", {}, {})).seconds) for n in (1, 480)
    )
    assert one > 5 * spread


def test_picking_few_elements_reads_sectors_and_turning_reads_everything() -> None:
    on, kernel_ = device("ascend-950pr"), Kernel("cann", "sparse_gather", {}, {})
    few = picked_cost(Picked(1000, 64 * MIB, 4.0, 8.0), on, kernel_)
    turned = picked_cost(Picked(1000, 64 * MIB, 4.0, 8.0, across=True), on, kernel_)
    assert float(few.bytes["hbm"]) < MIB
    assert float(turned.bytes["hbm"]) > 64 * MIB
    assert float(turned.seconds) > float(few.seconds)


def test_a_large_sort_passes_memory_once_for_every_merge() -> None:
    on = device("ascend-910b3")
    plain = Kernel("cann", "sparse_gather", {}, {"start": 0.0})

    def sort(pairs: float) -> float:
        return float(np.asarray(routing_cost(Routing(pairs, 0, 0, 1, 2.0), on, plain).seconds))

    assert sort(2.0**13) == 0.0  # on one core, at the kernel's own rate: none here
    assert sort(2.0**23) / sort(2.0**15) == pytest.approx(
        2.0**8 * 6 / 2
    )  # five merges against one, and the runs before


def test_an_element_scattered_alone_rewrites_its_sector() -> None:
    on = device("ascend-950pr")
    work = Picked(1e6, 4e6, 4.0, 8.0, scattered=True)
    alone = picked_cost(work, on, Kernel("cann", "sparse_gather", {"rewrites_sectors": True}, {"element_clocks": 0.0}))
    whole = picked_cost(work, on, Kernel("cann", "sparse_gather", {}, {"element_clocks": 0.0}))
    moved = [float(np.asarray(sum(cost.bytes.values()))) for cost in (alone, whole)]
    assert moved[0] > 3 * moved[1]
