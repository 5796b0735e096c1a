"""Shape arithmetic shared by the operators: checks with clear messages, and dimensions that may be arrays."""

from __future__ import annotations

import numpy as np

from simulator.ops.op import Op
from simulator.ops.tensor import Dim, Number, TensorSpec, prod
from simulator.ops.work import Elementwise, Work


def require(op: Op, ok: bool, rule: str, *specs: TensorSpec) -> None:
    """ValueError naming the operator, the rule that is broken and the shapes given, unless ``ok``."""
    if not ok:
        shapes = ", ".join(str(tuple(s.shape)) for s in specs)
        raise ValueError(f"{type(op).__name__}: {rule}; got {shapes}")


def require_rank(op: Op, x: TensorSpec, rank: int, name: str) -> None:
    """ValueError unless ``x`` has ``rank`` dimensions."""
    require(op, len(x.shape) == rank, f"{name} needs {rank} dimensions", x)


def same(a: Dim, b: Dim) -> bool:
    """Whether two dimensions agree in every scenario."""
    if type(a) is int and type(b) is int:
        return a == b
    return bool(np.all(np.asarray(a) == np.asarray(b)))


def same_shape(a: TensorSpec, b: TensorSpec) -> bool:
    """Whether two shapes agree in every scenario."""
    return len(a.shape) == len(b.shape) and all(same(m, n) for m, n in zip(a.shape, b.shape, strict=True))


def rows_of(x: TensorSpec) -> Number:
    """Product of all dimensions but the last."""
    return prod(x.shape[:-1])


def share_of(dim: Dim, parts: int) -> Dim:
    """``dim`` / ``parts``, an integer where it divides."""
    if isinstance(dim, int) and dim % parts == 0:
        return dim // parts
    quotient = np.asarray(dim) / parts
    if isinstance(dim, np.ndarray) and np.issubdtype(dim.dtype, np.integer) and np.all(dim % parts == 0):
        return dim // parts
    return quotient if isinstance(dim, np.ndarray) else float(quotient)


def axis_of(x: TensorSpec, axis: int) -> int:
    """Non-negative form of ``axis``."""
    return axis % len(x.shape)


def replace_dim(x: TensorSpec, axis: int, dim: Dim) -> TensorSpec:
    """``x`` with dimension ``axis`` replaced."""
    axis = axis_of(x, axis)
    return x.with_shape(*x.shape[:axis], dim, *x.shape[axis + 1 :])


def nbytes(specs: tuple[TensorSpec, ...]) -> Number:
    """Stored bytes of several tensors."""
    return sum((s.nbytes for s in specs), start=0.0)


def vector_pass(
    name: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], ops: float = 1.0, exps: float = 0.0
) -> Work:
    """One kernel that reads every input once and writes every output once; sized by the widest tensor it touches.

    ops, exps: vector and transcendental operations per element of the first output.
    """
    sized = outputs[0]
    return Work((Elementwise(name, rows_of(sized), sized.shape[-1], nbytes(inputs), nbytes(outputs), ops, exps),))
