"""Instrumented numpy kernels: what a reference really multiplies and touches.

Every matrix product of a reference goes through ``product`` and every data-dependent read through ``take_rows``.
Outside ``counted()`` they are plain numpy; inside, they add up FLOPs and touched elements, which the drift tests
compare with ``Op.work``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np

from simulator.ops.op import Array


@dataclass(slots=True)
class Counts:
    """flops: of matrix products (1 MAC = 2). touched: elements gathered, by position of the operator's input."""

    flops: float = 0.0
    touched: dict[int, float] = field(default_factory=dict)


_active: ContextVar[Counts | None] = ContextVar("silicast_counts", default=None)


@contextmanager
def counted() -> Iterator[Counts]:
    """Count the products and gathers of the references that run inside the block."""
    counts = Counts()
    token = _active.set(counts)
    try:
        yield counts
    finally:
        _active.reset(token)


def product(subscripts: str, a: Array, b: Array, used: tuple[str, Array] | None = None) -> Array:
    """einsum of two operands.

    used: (indices, boolean array over them) when only part of the products is wanted, as in a causal score matrix: only
    those are counted, and the caller must not use the others (scores are masked, probabilities are zero there).
    """
    counts = _active.get()
    if counts is not None:
        counts.flops += 2.0 * _multiplications(subscripts, a, b, used)
    return _contract(subscripts, a, b)


def _contract(subscripts: str, a: Array, b: Array) -> Array:
    """einsum of two operands as one batched numpy.matmul (einsum itself is slow with batch indices)."""
    operands, result = subscripts.split("->")
    left, right = operands.split(",")
    sizes = dict(zip(left, a.shape, strict=True)) | dict(zip(right, b.shape, strict=True))
    batch = [i for i in left if i in right and i in result]
    summed = [i for i in left if i in right and i not in result]
    rows = [i for i in left if i not in right]
    cols = [i for i in right if i not in left]

    def matrices(x: Array, names: str, one: list[str], two: list[str]) -> Array:
        order = [names.index(i) for i in (*batch, *one, *two)]
        shape = [sizes[i] for i in batch] + [int(np.prod([sizes[i] for i in part])) for part in (one, two)]
        return x.transpose(order).reshape(shape)

    out: Array = matrices(a, left, rows, summed) @ matrices(b, right, summed, cols)
    named = [*batch, *rows, *cols]
    return out.reshape([sizes[i] for i in named]).transpose([named.index(i) for i in result])


def _multiplications(subscripts: str, a: Array, b: Array, used: tuple[str, Array] | None) -> float:
    left, right = subscripts.split("->")[0].split(",")
    sizes = dict(zip(left, a.shape, strict=True)) | dict(zip(right, b.shape, strict=True))
    if used is None:
        return float(np.prod(list(sizes.values()), dtype=np.float64))
    indices, mask = used
    full = np.broadcast_to(mask, [sizes[i] for i in indices])
    rest = np.prod([n for i, n in sizes.items() if i not in indices], dtype=np.float64)
    return float(np.count_nonzero(full) * rest)


def linear(x: Array, w: Array) -> Array:
    """x[.., k] w[n, k] -> [.., n]."""
    counts = _active.get()
    if counts is not None:
        counts.flops += 2.0 * x.size * w.shape[0]
    out: Array = x @ w.T
    return out


def take_rows(table: Array, indices: Array, source: int) -> Array:
    """Rows ``table[indices]``; ``source``: position of the table among the operator's inputs."""
    rows: Array = table[indices]
    touch(source, rows.size)
    return rows


def touch(source: int, elements: float) -> None:
    """Count ``elements`` read at data-dependent places of input ``source``."""
    counts = _active.get()
    if counts is not None:
        counts.touched[source] = counts.touched.get(source, 0.0) + float(elements)
