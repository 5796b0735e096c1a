"""Tile search of a cube matmul: the kernel's tiling function picks the fastest of the tiles that fit the buffers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulator.profiles.ascend import Ascend

ROWS = (16, 32, 64, 128, 256)
COLUMNS = tuple(range(16, 513, 16))
ACCUMULATOR = 4  # bytes of one L0C element


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Candidate output tiles as columns of shape (candidates, 1, 1): rows, columns.

    And split of the inner dimension.
    """

    rows: np.ndarray
    columns: np.ndarray
    split: np.ndarray


@lru_cache(maxsize=64)
def candidates(l0c: float, splits: tuple[int, ...], single: bool = False) -> Tiles:
    """Tiles that fit L0C (``l0c`` bytes) for each split; ``single`` keeps only the largest (a fixed-tile kernel)."""
    grid = [(m, n) for m in ROWS for n in COLUMNS if m * n * ACCUMULATOR <= l0c]
    if single:
        largest = max(m * n for m, n in grid)
        grid = [max((t for t in grid if t[0] * t[1] == largest), key=lambda t: min(t))]
    flat = np.array([(m, n, s) for m, n in grid for s in splits], dtype=np.float64)
    return Tiles(*(flat[:, i].reshape(-1, 1, 1) for i in range(3)))


def fitting(device: Ascend, splits: tuple[int, ...], single: bool = False) -> Tiles:
    """Candidate tiles of this device."""
    return candidates(device.core.l0c, splits, single)
