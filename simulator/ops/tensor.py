"""Symbolic tensors: shapes whose dimensions are integers or int64 arrays (one entry per scenario), and a format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from simulator.profiles.dtypes import format_of

# One dimension: a plain integer, or an array with one entry per scenario of a sweep axis. Expected values
# (tokens per expert) may be fractional, hence float arrays are allowed too.
Dim: TypeAlias = int | float | npt.NDArray[np.integer[Any]] | npt.NDArray[np.floating[Any]]
Number: TypeAlias = float | npt.NDArray[np.float64]


def as_float(x: Dim) -> Number:
    """A dimension in float64."""
    return np.asarray(x, dtype=np.float64) if isinstance(x, np.ndarray) else float(x)


def prod(dims: tuple[Dim, ...]) -> Number:
    """Product of dimensions in float64 (exact below 2**53)."""
    total: Number = 1.0
    for d in dims:
        total = total * as_float(d)
    return total


@dataclass(frozen=True, slots=True, eq=False)
class TensorSpec:
    """Shape and storage format of a tensor; no data."""

    shape: tuple[Dim, ...]
    dtype: str = "bfloat16"

    @property
    def elements(self) -> Number:
        """Number of elements (one value per scenario if a dimension is an array)."""
        return prod(self.shape)

    @property
    def nbytes(self) -> Number:
        """Bytes stored, scales included."""
        return self.elements * format_of(self.dtype).bytes

    def with_shape(self, *shape: Dim) -> TensorSpec:
        """Same format, other shape."""
        return TensorSpec(shape, self.dtype)

    def with_dtype(self, dtype: str) -> TensorSpec:
        """Same shape, other format."""
        return TensorSpec(self.shape, dtype)
