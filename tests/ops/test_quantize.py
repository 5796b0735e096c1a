"""Narrow formats: error bounds of numerics.md section 2, exact grids, what must not be quantised."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.linear import Linear
from simulator.ops.quantize import Quantize, fake_quantize, fp8_tiles, fp8_weight_blocks
from simulator.ops.tensor import TensorSpec


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_fp8_tiles_element_error_bound() -> None:
    """|error| <= max(|x| / 16, s 2^-10) for every value; tight."""
    g = np.random.default_rng(0)
    x = g.normal(size=(400, 512)) * np.exp(3 * g.normal(size=(400, 512)))
    s = np.maximum(np.abs(x.reshape(400, 4, 128)).max(axis=-1, keepdims=True), 1e-4) / 448
    bound = np.maximum(np.abs(x) / 16, (s * 2.0**-10 * np.ones((1, 1, 128))).reshape(x.shape))
    ratio = np.abs(fp8_tiles(x) - x) / bound
    assert ratio.max() <= 1.0 + 1e-6
    assert ratio.max() > 0.95


@pytest.mark.parametrize("scale", ["", "ue8m0"])
def test_fp8_block_errors_of_gaussian_data(scale: str) -> None:
    g = np.random.default_rng(1)
    x, w = g.normal(size=(32, 7168)), g.normal(size=(64, 7168))
    qx, qw = fake_quantize(x, "fp8_block", scale), fake_quantize(w, "fp8_block_weight", scale)
    assert 0.02 < relative(qx, x) < 0.03
    assert 0.02 < relative(qw, w) < 0.03
    product = Linear().reference(qx, qw)[0]
    assert 0.03 < relative(product, x @ w.T) < 0.05


def test_linear_that_quantises_equals_quantise_then_linear() -> None:
    g = np.random.default_rng(2)
    x, w = g.normal(size=(5, 256)), g.normal(size=(7, 256))
    fused = Linear("fp8", quantizes_a="fp8_block").reference(x, w)[0]
    np.testing.assert_array_equal(fused, Linear().reference(*Quantize("fp8_block").reference(x), w)[0])
    assert np.abs(fused - x @ w.T).max() > 1e-3


def test_latent_cache_keeps_the_rotary_part_in_bfloat16() -> None:
    x = np.random.default_rng(3).normal(size=(64, 576))
    q = fake_quantize(x, "fp8_mla")
    assert relative(q[:, 512:], x[:, 512:]) < 2.0**-8
    assert 0.02 < relative(q[:, :512], x[:, :512]) < 0.03
    assert TensorSpec((1, 576), "fp8_mla").nbytes == pytest.approx(656)
    assert TensorSpec((1, 512), "fp8_mla_v4").nbytes == pytest.approx(584)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("mxfp8", 0.02, 0.04),
        ("nvfp4", 0.08, 0.12),
        ("mxfp4", 0.10, 0.16),
        ("int8_token", 0.005, 0.012),
        ("int4", 0.08, 0.14),
    ],
)
def test_relative_error_of_narrow_formats(name: str, low: float, high: float) -> None:
    x = np.random.default_rng(4).normal(size=(64, 1024))
    assert low < relative(fake_quantize(x, name), x) < high


@pytest.mark.parametrize(
    "name", ["fp8_block", "fp8_block_weight", "mxfp8", "mxfp4", "nvfp4", "int8_token", "int4", "fp8"]
)
def test_zeros_stay_zero_and_a_quantised_tensor_is_a_fixed_point(name: str) -> None:
    assert not fake_quantize(np.zeros((4, 256)), name).any()
    once = fake_quantize(np.random.default_rng(5).normal(size=(4, 256)), name)
    np.testing.assert_allclose(fake_quantize(once, name), once, rtol=1e-6)


def test_ue8m0_scales_are_powers_of_two() -> None:
    x = np.random.default_rng(6).normal(size=(3, 128))
    step = fp8_tiles(x, scale="ue8m0")
    amax = np.abs(x).max(axis=1, keepdims=True)
    s = 2.0 ** np.ceil(np.log2(amax / 448))
    mantissa = step / s
    assert np.abs(mantissa).max() <= 448
    grid = mantissa[np.abs(mantissa) >= 2.0**-6]
    np.testing.assert_array_equal(
        grid,
        np.round(grid * 2.0 ** (3 - np.floor(np.log2(np.abs(grid))))) / 2.0 ** (3 - np.floor(np.log2(np.abs(grid)))),
    )


def test_weight_blocks_do_not_share_scales() -> None:
    w = np.ones((256, 256))
    w[:128, :128] = 1e-3
    w[0, 0] = 1.1e-3
    q = fp8_weight_blocks(w)
    assert q[200, 200] == 1.0
    assert abs(q[5, 5] - 1e-3) < 1e-3 / 16
    assert fp8_weight_blocks(w[:100, :130]).shape == (100, 130)


def test_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="mxfp4"):
        fake_quantize(np.zeros((2, 2)), "fp5")
