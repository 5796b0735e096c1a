"""N11: scores depend on relative position only; both layouts agree after permuting dimensions; scaling; inverse."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.rope import Rope, RopeScaling, frequencies


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_n11_scores_depend_on_relative_position_only(interleaved: bool, first: bool) -> None:
    g = np.random.default_rng(0)
    q, k = g.normal(size=(4, 2, 12)), g.normal(size=(4, 2, 12))
    op = Rope(8, interleaved=interleaved, first=first)
    at_q, at_k = np.array([5, 9, 11, 30]), np.array([1, 2, 3, 29])

    def scores(shift: int) -> np.ndarray:
        return (op.reference(q, at_q + shift)[0] * op.reference(k, at_k + shift)[0]).sum(axis=-1)

    np.testing.assert_allclose(scores(0), scores(1000), rtol=1e-12, atol=1e-12)
    moved = (op.reference(q, at_q + 1)[0] * op.reference(k, at_k)[0]).sum(axis=-1)
    assert np.abs(moved - scores(0)).max() > 1e-3


def test_n11_interleaved_is_half_split_after_permuting_dimensions() -> None:
    x, at = np.random.default_rng(1).normal(size=(5, 3, 8)), np.arange(5)
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    (interleaved,) = Rope(8, interleaved=True).reference(x, at)
    (half,) = Rope(8).reference(x[..., order], at)
    np.testing.assert_allclose(interleaved[..., order], half, rtol=1e-12, atol=1e-15)
    assert np.abs(interleaved - Rope(8).reference(x, at)[0]).max() > 0.1


def test_inverse_undoes_the_rotation_and_untouched_dimensions_stay() -> None:
    x, at = np.random.default_rng(2).normal(size=(2, 3, 4, 12)), np.array([[0, 1, 2], [7, 8, 9]])
    for first in (True, False):
        (turned,) = Rope(8, first=first).reference(x, at)
        (back,) = Rope(8, first=first, inverse=True).reference(turned, at)
        np.testing.assert_allclose(back, x, rtol=1e-12, atol=1e-12)
        still = slice(8, 12) if first else slice(0, 4)
        np.testing.assert_array_equal(turned[..., still], x[..., still])


def test_pair_is_rotated_by_position_times_frequency() -> None:
    x = np.array([[1.0, 0.0, 1.0, 0.0]])
    (y,) = Rope(4, theta=100.0, interleaved=True).reference(x, np.array([3]))
    np.testing.assert_allclose(y[0], [np.cos(3), np.sin(3), np.cos(0.3), np.sin(0.3)], rtol=1e-12)


def test_yarn_keeps_fast_and_stretches_slow_frequencies() -> None:
    scaling = RopeScaling("yarn", 40.0, 4096)
    base, stretched = frequencies(64, 10000.0, RopeScaling()), frequencies(64, 10000.0, scaling)
    assert stretched[0] == base[0]
    assert stretched[-1] == pytest.approx(base[-1] / 40)
    assert (np.diff(stretched) < 0).all()


def test_llama3_scaling_of_published_wavelengths() -> None:
    scaling = RopeScaling("llama3", 8.0, 8192, low=1.0, high=4.0)
    base, scaled = frequencies(128, 500000.0, RopeScaling()), frequencies(128, 500000.0, scaling)
    wavelength = 2 * np.pi / base
    np.testing.assert_allclose(scaled[wavelength < 8192 / 4], base[wavelength < 8192 / 4])
    np.testing.assert_allclose(scaled[wavelength > 8192], base[wavelength > 8192] / 8)


def test_unknown_scaling_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="yarn"):
        frequencies(8, 1e4, RopeScaling("ntk"))
