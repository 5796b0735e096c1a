"""Vector operators computed by hand, and the traffic of those that move only a part of their tensors."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np
import pytest

from simulator.ops.activation import Activation
from simulator.ops.elementwise import Add, Mul, Scale, SigmoidMul
from simulator.ops.embedding import Embedding
from simulator.ops.fused import Fused, Step
from simulator.ops.gated_norm import GatedRMSNorm
from simulator.ops.kv_cache import CacheAppend
from simulator.ops.norm import AddRMSNorm, LayerNorm, RMSNorm
from simulator.ops.quantize import Quantize
from simulator.ops.rolling_state import RollingState
from simulator.ops.rope import Rope
from simulator.ops.silu_mul import SiluMul
from simulator.ops.tensor import TensorSpec
from simulator.ops.top_k import ArgMax
from simulator.ops.views import Concat, Expand, Reshape, Slice, Split, Transpose

X = np.random.default_rng(0).normal(size=(3, 8))
W = np.random.default_rng(1).normal(size=8)


def test_rms_norm_gives_unit_mean_square() -> None:
    (y,) = RMSNorm(eps=0.0).reference(5.0 * X)
    np.testing.assert_allclose((y**2).mean(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(RMSNorm(eps=0.0).reference(X, W)[0], y * W, rtol=1e-12)
    np.testing.assert_allclose(RMSNorm(eps=0.0, unit_offset=True).reference(X, W)[0], y * (1 + W), rtol=1e-12)
    (damped,) = RMSNorm(eps=3.0).reference(X)
    np.testing.assert_allclose(damped[1], X[1] / np.sqrt((X[1] ** 2).mean() + 3.0), rtol=1e-12)


def test_layer_norm_gives_zero_mean_unit_variance_then_weight_and_bias() -> None:
    (y,) = LayerNorm(eps=0.0).reference(X, np.full(8, 2.0), np.full(8, 0.5))
    np.testing.assert_allclose(y.mean(axis=-1), 0.5, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=-1), 2.0, rtol=1e-12)


def test_add_rms_norm_is_add_then_norm_and_keeps_the_sum() -> None:
    normed, total = AddRMSNorm().reference(X, 2 * X, W)
    np.testing.assert_allclose(total, 3 * X)
    np.testing.assert_allclose(normed, RMSNorm().reference(3 * X, W)[0], rtol=1e-12)


def test_silu_mul_takes_the_gate_first() -> None:
    gate, up = X[:, :4], X[:, 4:]
    silu = gate / (1 + np.exp(-gate))
    np.testing.assert_allclose(SiluMul().reference(X)[0], silu * up, rtol=1e-12)
    wide = 20.0 * X
    g, u = np.minimum(wide[:, :4], 7.0), np.clip(wide[:, 4:], -7.0, 7.0)
    expected = g / (1 + np.exp(-1.702 * g)) * (u + 1)
    np.testing.assert_allclose(SiluMul(7.0, 1.702, 1.0).reference(wide)[0], expected, rtol=1e-12)


def test_silu_mul_of_extreme_gates_neither_overflows_nor_warns() -> None:
    (y,) = SiluMul().reference(np.array([[-1e4, 1e4, 1.0, 1.0]]))
    np.testing.assert_allclose(y, [[0.0, 1e4]])


def test_elementwise_arithmetic() -> None:
    gate = np.random.default_rng(2).normal(size=(3, 1))
    np.testing.assert_allclose(Add().reference(X, X)[0], 2 * X)
    np.testing.assert_allclose(Mul().reference(X, gate)[0], X * gate)
    np.testing.assert_allclose(Scale(0.25).reference(X)[0], X / 4)
    np.testing.assert_allclose(SigmoidMul().reference(X, gate)[0], X / (1 + np.exp(-gate)), rtol=1e-12)


def test_arg_max_and_embedding() -> None:
    assert ArgMax().reference(np.array([[1.0, 3.0, 3.0], [5.0, 0.0, 1.0]]))[0].tolist() == [1, 0]
    np.testing.assert_array_equal(Embedding().reference(np.array([2, 0]), X)[0], X[[2, 0]])


def test_views_move_elements_as_named() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    assert Reshape((3, -1)).reference(x)[0].shape == (3, 8)
    assert [p.shape for p in Split((1, 3)).reference(x)] == [(2, 3, 1), (2, 3, 3)]
    np.testing.assert_array_equal(Slice(1, -1, 1).reference(x)[0], x[:, -1:])
    np.testing.assert_array_equal(Slice(2, 1, 2).reference(x)[0], x[:, :, 1:3])
    np.testing.assert_array_equal(Transpose((2, 0, 1)).reference(x)[0], x.transpose(2, 0, 1))
    np.testing.assert_array_equal(Expand(1, 2).reference(x)[0][:, 2], x[:, 1])
    np.testing.assert_array_equal(Concat(0).reference(x, x + 1)[0][2:], x + 1)


def test_cache_append_moves_the_new_rows_only_and_converts_them() -> None:
    past, new = TensorSpec((4, 1000, 576), "fp8_mla"), TensorSpec((4, 2, 576))
    (cache,) = CacheAppend().infer(past, new)
    assert cache.shape == (4, 1002, 576)
    assert cache.dtype == "fp8_mla"
    work = CacheAppend().work((past, new), (cache,))
    assert work.bytes_read() == 4 * 2 * 1152
    assert work.bytes_written() == pytest.approx(4 * 2 * 656)


def test_rolling_state_keeps_the_last_rows() -> None:
    state, new = np.arange(6.0).reshape(1, 3, 2), 10 + np.arange(4.0).reshape(1, 2, 2)
    joined, kept = RollingState(keep=3).reference(state, new)
    np.testing.assert_array_equal(joined[0, :, 0], [0, 2, 4, 10, 12])
    np.testing.assert_array_equal(kept, joined[:, 2:])


def test_gated_norm_multiplies_by_silu_after_or_before() -> None:
    gate = np.random.default_rng(3).normal(size=X.shape)
    silu = gate / (1 + np.exp(-gate))
    np.testing.assert_allclose(GatedRMSNorm().reference(X, gate, W)[0], RMSNorm().reference(X, W)[0] * silu)
    first = GatedRMSNorm(gate_first=True).reference(X, gate, W)[0]
    np.testing.assert_allclose(first, RMSNorm().reference(X * silu, W)[0])


def test_activations() -> None:
    np.testing.assert_allclose(Activation("relu2").reference(np.array([-2.0, 3.0]))[0], [0.0, 9.0])
    exact = [0.5 * x * (1 + erf(x / sqrt(2))) for x in X.ravel()]
    np.testing.assert_allclose(Activation().reference(X)[0].ravel(), exact, atol=1e-3)


def test_fused_kernel_computes_its_steps_and_saves_the_traffic_between_them() -> None:
    steps = (Step(AddRMSNorm(), (0, 1, 2), 2), Step(Quantize("bfloat16"), (3,)))
    fused = Fused("add_rmsnorm_quantize", 3, steps, (4, 5))
    normed, total = AddRMSNorm().reference(X, 2 * X, W)
    out_total, out = fused.reference(X, 2 * X, W)
    np.testing.assert_array_equal(out, Quantize("bfloat16").reference(normed)[0])
    np.testing.assert_array_equal(out_total, total)
    specs = (TensorSpec((64, 256)), TensorSpec((64, 256)), TensorSpec((256,)))
    work = fused.work(specs, fused.infer(*specs))
    assert work.bytes_read() == 2 * 64 * 256 * 2 + 256 * 2
    assert work.bytes_written() == 2 * 64 * 256 * 2


def test_rope_moves_the_rotated_slice_only() -> None:
    x, at = TensorSpec((10, 128, 192)), TensorSpec((10,), "int32")
    work = Rope(64, first=False).work((x, at), (x,))
    assert work.bytes_read() == work.bytes_written() == 10 * 128 * 64 * 2
