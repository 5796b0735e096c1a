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
