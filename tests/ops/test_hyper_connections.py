"""N13: hyper-connection mixing matrices are doubly stochastic; one stream is a plain residual."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.hyper_connections import HyperHead, HyperPost, HyperPre, sinkhorn
from simulator.ops.op import Array
from simulator.ops.tensor import TensorSpec


def inputs(n: int, h: int = 16) -> tuple[Array, ...]:
    g = np.random.default_rng(n)
    m = (2 + n) * n
    return g.normal(size=(7, n, h)), g.normal(size=(m, n * h)), g.normal(size=3), g.normal(size=m)


def test_n13_columns_sum_to_one_rows_nearly() -> None:
    m = sinkhorn(np.random.default_rng(0).normal(size=(50, 4, 4)), 20, 1e-6)
    assert (m > 0).all()
    assert np.abs(m.sum(axis=1) - 1).max() < 1e-5
    assert np.abs(m.sum(axis=2) - 1).max() < 1e-4
    few = sinkhorn(np.random.default_rng(0).normal(size=(50, 4, 4)), 2, 1e-6)
    assert np.abs(few.sum(axis=2) - 1).max() > np.abs(m.sum(axis=2) - 1).max()


def test_n13_one_stream_with_unit_weights_is_a_plain_residual() -> None:
    x, w, _, _ = inputs(1)
    base = np.array([40.0, 0.0, 0.0])  # sigmoid(40) = 1, 2 sigmoid(0) = 1, a 1 x 1 matrix is 1
    y, post, comb = HyperPre(1).reference(x, w, np.zeros(3), base)
    np.testing.assert_allclose(y, x[:, 0], rtol=1e-5)
    delta = np.random.default_rng(5).normal(size=y.shape)
    np.testing.assert_allclose(
        HyperPost().reference(delta, x, post, comb)[0][:, 0], x[:, 0] + delta, rtol=1e-4, atol=1e-4
    )


def test_post_mixes_stream_i_into_stream_j_by_comb_i_j() -> None:
    g = np.random.default_rng(6)
    y, x, post, comb = (g.normal(size=s) for s in ((3, 8), (3, 4, 8), (3, 4), (3, 4, 4)))
    (out,) = HyperPost().reference(y, x, post, comb)
    expected = post[1, 2] * y[1] + sum(comb[1, i, 2] * x[1, i] for i in range(4))
    np.testing.assert_allclose(out[1, 2], expected, rtol=1e-12)


def test_mixing_ignores_the_scale_of_the_streams() -> None:
    x, w, scale, base = inputs(4)
    one, two = (HyperPre().reference(f * x, w, scale, base) for f in (1.0, 1000.0))
    np.testing.assert_allclose(one[2], two[2], rtol=1e-4)
    np.testing.assert_allclose(1000.0 * one[0], two[0], rtol=1e-4)


def test_head_is_the_pre_mix_alone() -> None:
    x, w, scale, base = inputs(4)
    (y,) = HyperHead().reference(x, w[:4], scale[:1], base[:4])
    np.testing.assert_allclose(y, HyperPre().reference(x, w, scale, base)[0], rtol=1e-12)


def test_deepseek_v4_pro_mixing_flops() -> None:
    """2 x 24 x 4 h = 1.38 MFLOP per token and site (operators.md g)."""
    specs = (
        TensorSpec((1, 4, 7168)),
        TensorSpec((24, 28672), "fp32"),
        TensorSpec((3,), "fp32"),
        TensorSpec((24,), "fp32"),
    )
    work = HyperPre().work(specs, HyperPre().infer(*specs))
    assert work.flops() == pytest.approx(1.376e6, rel=1e-3)
