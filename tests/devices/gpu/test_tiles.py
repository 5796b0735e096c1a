"""Tile names, rate fall-backs and the k-step."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.devices.gpu.tiles import step_seconds, tensor_rate, tile_rates, tile_set
from simulator.profiles import Kernel, load_device
from simulator.profiles.gpu import Gpu


def _gpu(name: str) -> Gpu:
    device = load_device(name)
    assert isinstance(device, Gpu)
    return device


def test_ranges_and_swapped_shapes_are_listed_once() -> None:
    tiles = tile_set("64..128/64x128 128x64", True)
    assert set(zip(tiles.rows.tolist(), tiles.cols.tolist(), strict=True)) == {(64, 128), (128, 64), (128, 128)}


@pytest.mark.parametrize("name", ["64", "64x", "0x64", "64..128x64", "ax64", ""])
def test_a_bad_tile_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="tile"):
        tile_set(name, False)


def test_a_missing_rate_falls_back_to_the_next_wider_unit() -> None:
    assert tensor_rate(_gpu("a100-sxm"), "fp8") == tensor_rate(_gpu("a100-sxm"), "bf16")
    assert tensor_rate(_gpu("h100-sxm"), "fp4") == tensor_rate(_gpu("h100-sxm"), "fp8")
    with pytest.raises(KeyError, match="fp64x"):
        tensor_rate(_gpu("h100-sxm"), "fp64x")


def test_a_k_step_takes_its_slowest_part_and_skips_rows_that_do_not_exist() -> None:
    gpu = _gpu("h100-sxm")
    kernel = Kernel("x", "gemm", {}, {"step_latency": 1e-9})
    rates = tile_rates(gpu, kernel, "bf16", "bfloat16", "bfloat16")
    tiles = tile_set("64x64 128x256", False)
    full, math, feed = step_seconds(tiles, rates, np.array([[4096.0]]), np.array([[4096.0]]))
    assert np.allclose(full, np.maximum(math, feed))
    _, _, short = step_seconds(tiles, rates, np.array([[1.0]]), np.array([[4096.0]]))
    assert (short < feed).all()


def test_a_product_rate_of_the_instructions_holds_on_any_generation() -> None:
    kernel = Kernel("x", "moe", {}, {"product_rate": 1000.0})
    per_clock = {}
    for name in ("a100-sxm", "h100-sxm", "b200-sxm"):
        gpu = _gpu(name)
        per_clock[name] = tile_rates(gpu, kernel, "bf16", "bfloat16", "bfloat16").flops / gpu.core.tensor_clock
    assert set(per_clock.values()) == {1000.0}


def test_narrow_formats_gain_over_the_product_rate_only_where_the_part_has_a_unit() -> None:
    kernel = Kernel("x", "moe", {}, {"product_rate": 1000.0})
    for name, gain in (("a100-sxm", 1.0), ("h100-sxm", 2.0)):
        gpu = _gpu(name)
        assert tile_rates(gpu, kernel, "fp8", "fp8", "fp8").flops == pytest.approx(gain * 1000 * gpu.core.tensor_clock)


def test_a_product_rate_above_the_tensor_cores_changes_nothing() -> None:
    gpu = _gpu("h100-sxm")
    free, capped = Kernel("x", "moe", {}, {}), Kernel("x", "moe", {}, {"product_rate": 1e6})
    assert tile_rates(gpu, free, "fp8", "fp8", "fp8") == tile_rates(gpu, capped, "fp8", "fp8", "fp8")


def test_clocks_of_a_k_step_take_longer_on_a_slower_clock() -> None:
    kernel = Kernel("x", "moe", {}, {"step_clocks": 1000.0})
    old, new = _gpu("a100-sxm"), _gpu("h100-sxm")
    ratio = new.core.tensor_clock / old.core.tensor_clock
    latency = [tile_rates(g, kernel, "bf16", "bfloat16", "bfloat16").step_latency for g in (old, new)]
    assert latency[0] == pytest.approx(latency[1] * ratio)
