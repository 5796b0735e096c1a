"""N10: the Hadamard rotation leaves index scores unchanged; the indexer's formula; FP8 keeps the selection."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.hadamard import Hadamard, walsh_hadamard
from simulator.ops.indexer import IndexerScores
from simulator.ops.quantize import fp8_tiles
from simulator.ops.tensor import TensorSpec
from simulator.ops.top_k import TopK


def case(dtype: type = np.float64) -> tuple[np.ndarray, ...]:
    g = np.random.default_rng(3)
    shapes = ((2, 5, 8, 128), (2, 9, 128), (2, 5, 8))
    return tuple(g.normal(size=s).astype(dtype) for s in shapes)


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-12), (np.float32, 1e-6)])
def test_n10_rotation_leaves_scores_unchanged(dtype: type, bound: float) -> None:
    q, k, w = case(dtype)
    (plain,) = IndexerScores().reference(q, k, w)
    (rotated,) = IndexerScores().reference(*Hadamard().reference(q), *Hadamard().reference(k), w)
    seen = np.isfinite(plain)
    assert np.linalg.norm(rotated[seen] - plain[seen]) / np.linalg.norm(plain[seen]) < bound


def test_rotation_is_the_walsh_matrix_and_its_own_inverse() -> None:
    h2 = np.array([[1.0, 1.0], [1.0, -1.0]])
    matrix = np.kron(np.kron(h2, h2), h2) / np.sqrt(8)
    x = np.random.default_rng(4).normal(size=(3, 8))
    np.testing.assert_allclose(walsh_hadamard(x), x @ matrix, rtol=1e-12)
    np.testing.assert_allclose(walsh_hadamard(walsh_hadamard(x)), x, rtol=1e-12)


def test_scores_written_out_and_masked_above_the_causal_limit() -> None:
    q, k, w = case()
    (scores,) = IndexerScores().reference(q, k, w)
    for i in range(5):
        for s in range(9):
            if s > 9 - 5 + i:
                assert np.isneginf(scores[1, i, s])
                continue
            expected = sum(w[1, i, j] * max(q[1, i, j] @ k[1, s] * 128**-0.5, 0.0) for j in range(8))
            assert scores[1, i, s] == pytest.approx(expected, rel=1e-12)


def test_fp8_indexer_selects_nearly_the_same_keys() -> None:
    """98.6% overlap of the top half on random data with one loud channel (numerics.md section 2)."""
    g = np.random.default_rng(5)
    q, k, w = g.normal(size=(1, 4, 64, 128)), g.normal(size=(1, 1024, 128)), g.normal(size=(1, 4, 64))
    k[..., 7] *= 8.0
    exact = TopK(512).reference(*IndexerScores(causal=False).reference(q, k, w))[0]
    narrow = IndexerScores(causal=False).reference(fp8_tiles(q, scale="ue8m0"), fp8_tiles(k, scale="ue8m0"), w)
    chosen = TopK(512).reference(*narrow)[0]
    overlap = np.mean([len(np.intersect1d(a, b)) / 512 for a, b in zip(exact[0], chosen[0], strict=True)])
    assert 0.97 < overlap < 1.0


def test_deepseek_v32_indexer_figures() -> None:
    specs = (TensorSpec((1, 1, 64, 128), "fp8_block"), TensorSpec((1, 1000, 128), "fp8_block"), TensorSpec((1, 1, 64)))
    longer = (specs[0], TensorSpec((1, 1001, 128), "fp8_block"), specs[2])
    one, two = (IndexerScores().work(s, ()) for s in (specs, longer))
    assert two.flops() - one.flops() == 16_384
    assert two.bytes_read() - one.bytes_read() == 132
