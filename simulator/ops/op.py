"""The operator definition: one frozen dataclass that infers shapes, counts work and computes a numpy reference.

The cost model walks a graph through ``work()``, the numeric backend walks the same graph through ``reference()``; there
is no second description that could drift. A new operator is one module that defines one class; ``registry()`` finds it
and the registry-wide tests cover it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A tiny case: an operator and concrete input arrays with the formats they stand for."""

    op: Op
    arrays: tuple[Array, ...]
    dtypes: tuple[str, ...]

    def specs(self) -> tuple[TensorSpec, ...]:
        """Input specs of the arrays."""
        return tuple(TensorSpec(a.shape, d) for a, d in zip(self.arrays, self.dtypes, strict=True))


class Op(ABC):
    """One operator family. Subclasses are frozen dataclasses whose fields are its static parameters."""

    family: ClassVar[str]  # gemm, grouped_gemm, attention, mla, dsa, elementwise, gather, collective, exchange
    """Measurement family whose error band applies to a prediction of this operator."""
    moves_part: ClassVar[bool] = False
    """True if it moves only a part of its inputs and outputs (a cache it appends to, a slice it rotates)."""

    @abstractmethod
    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Output specs. ValueError names the operator and the offending shape."""

    @abstractmethod
    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """What the operator asks of the machine; dimensions may be arrays."""

    @abstractmethod
    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Plain numpy result on one rank."""

    @classmethod
    @abstractmethod
    def examples(cls) -> tuple[Example, ...]:
        """Two or three tiny cases for the registry-wide tests."""


class CollectiveOp(Op):
    """An operator that exchanges data between the ranks of a parallel group.

    ``exchange`` sees the local arrays of every rank of the group, in rank order, and returns the outputs of every rank
    and the bytes each rank sent. ``reference`` is the one-rank case.
    """

    group: str
    ranks: int

    def per_rank(self, arrays: tuple[Array, ...]) -> list[tuple[Array, ...]]:
        """Arrays of every rank made from one example's: floats differ by rank, integers are shared."""

        def of(rank: int, a: Array) -> Array:
            return a * (1.0 + 0.5 * rank) if np.issubdtype(a.dtype, np.floating) else a

        return [tuple(of(r, a) for a in arrays) for r in range(self.ranks)]

    @abstractmethod
    def exchange(self, per_rank: list[tuple[Array, ...]]) -> tuple[list[tuple[Array, ...]], list[int]]:
        """(outputs of each rank, wire bytes sent by each rank)."""


def registry() -> dict[str, type[Op]]:
    """Every concrete operator class of simulator.ops by class name, sorted."""
    import simulator.ops as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"simulator.ops.{module.name}")

    found: dict[str, type[Op]] = {}

    def visit(cls: type[Op]) -> None:
        for sub in cls.__subclasses__():
            if not getattr(sub, "__abstractmethods__", None) and _belongs(sub, package.__name__):
                found[sub.__name__] = sub
            visit(sub)

    visit(Op)  # type: ignore[type-abstract]
    return dict(sorted(found.items()))


def _belongs(cls: type[Op], package: str) -> bool:
    """Whether ``cls`` is defined in a loaded module of ``package`` (a class may outlive its module)."""
    return cls.__module__.startswith(f"{package}.") and hasattr(sys.modules.get(cls.__module__), cls.__name__)


def rng(seed: int = 0) -> np.random.Generator:
    """Seeded generator for examples."""
    return np.random.default_rng(seed)
