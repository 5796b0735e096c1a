"""Shared shape arithmetic of linear-attention scans: work of the step-by-step and of the chunked form."""

from __future__ import annotations

import numpy as np

from simulator.ops.shapes import nbytes
from simulator.ops.tensor import Dim, Number, TensorSpec
from simulator.ops.work import Elementwise, Matmul, Work


def squared_chunks(q_len: Dim, chunk: int) -> Number:
    """Sum of squared chunk lengths when q_len tokens are cut into chunks (the last one may be short)."""
    q = np.asarray(q_len, dtype=np.float64)
    whole = np.floor(q / chunk)
    total: Number = whole * chunk**2 + (q - whole * chunk) ** 2
    return total if np.ndim(total) else float(total)


def stepwise(
    name: str,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    state: TensorSpec,
    q_len: Dim,
    ops: float,
) -> Work:
    """A scan token by token: ``ops`` vector operations per state element and token, state read and written once."""
    rows = state.elements / np.asarray(state.shape[-1], dtype=np.float64)
    tokens = np.asarray(q_len, dtype=np.float64)
    term = Elementwise(name, rows * tokens, state.shape[-1], nbytes(inputs), nbytes(outputs), ops=ops)
    return Work((term,))


def chunked(batch: Number, q_len: Dim, chunk: int, quadratic: Dim, state: tuple[Dim, Dim], passes: int) -> Work:
    """A scan in chunks: products of chunk x chunk of inner width ``quadratic``, ``passes`` products with the state.

    batch: sequences times heads. state: (rows, columns) of one head's state.
    """
    q = np.asarray(q_len, dtype=np.float64)
    squares = batch * squared_chunks(q_len, chunk) / chunk**2
    inner = np.asarray(state[0], dtype=np.float64) * passes
    within = Matmul(chunk, chunk, quadratic, rate="bf16", batch=squares, b_is_weight=False)
    across = Matmul(chunk, state[1], inner, rate="bf16", batch=batch * q / chunk, b_is_weight=False)
    return Work((within, across))
