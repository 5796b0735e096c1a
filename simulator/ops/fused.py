"""Fused: several vector operators executed by one kernel; intermediate results stay on chip.

Operations are kept, traffic of intermediates and all launches but one are dropped. The reference runs the steps one by
one, so fusing never changes a result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.elementwise import Add
from simulator.ops.norm import AddRMSNorm, RMSNorm
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.quantize import Quantize
from simulator.ops.rope import Rope
from simulator.ops.tensor import Number, TensorSpec
from simulator.ops.work import Elementwise, Work


@dataclass(frozen=True)
class Step:
    """One operator inside a fused kernel.

    inputs: positions in the kernel's table of values (its inputs first, then the outputs of every step in order).
    """

    op: Op
    inputs: tuple[int, ...]
    outputs: int = 1


@dataclass(frozen=True)
class Fused(Op):
    """Vector operators in one kernel. arity: number of inputs. results: table positions that leave the kernel."""

    name: str
    arity: int
    steps: tuple[Step, ...]
    results: tuple[int, ...]
    family = "elementwise"

    def makers(self) -> tuple[Op, ...]:
        """The operator that makes each result."""
        made = [step.op for step in self.steps for _ in range(step.outputs)]
        return tuple(made[i - self.arity] for i in self.results)

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Specs of the results."""
        table = self._table(inputs)
        return tuple(table[i] for i in self.results)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One vector pass: operations of all steps, bytes of what enters and leaves."""
        table = self._table(inputs)
        leaving, at = set(self.results), self.arity
        read: Number = 0.0
        written: Number = 0.0
        ops: Number = 0.0
        exps: Number = 0.0
        widest = Elementwise(self.name, 1, 1, 0.0, 0.0)
        for step in self.steps:
            specs = tuple(table[i] for i in step.inputs)
            made = tuple(range(at, at + step.outputs))
            at += step.outputs
            work = step.op.work(specs, tuple(table[i] for i in made))
            ops, exps = ops + work.vector_ops(), exps + work.exponentials()
            inner = [i for i in step.inputs if i >= self.arity]
            read = read + self._moved(step.op, work.bytes_read(), table, inner, step.inputs)
            kept = [i for i in made if i not in leaving]
            written = written + self._moved(step.op, work.bytes_written(), table, kept, made)
            passes = [t for t in work if isinstance(t, Elementwise)]
            widest = max((widest, *passes), key=lambda t: float(np.max(t.elements())))
        elements = widest.elements()
        term = Elementwise(
            self.name, widest.rows, widest.cols, read, written, _per(ops, elements), _per(exps, elements)
        )
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """The steps, one after the other."""
        table: list[Array] = list(arrays)
        for step in self.steps:
            table.extend(step.op.reference(*(table[i] for i in step.inputs)))
        return tuple(table[i] for i in self.results)

    def _table(self, inputs: tuple[TensorSpec, ...]) -> list[TensorSpec]:
        table = list(inputs)
        for step in self.steps:
            table.extend(step.op.infer(*(table[i] for i in step.inputs)))
        return table

    def _moved(
        self, op: Op, declared: Number, table: list[TensorSpec], inner: list[int], touched: tuple[int, ...]
    ) -> Number:
        """Bytes a step still moves: what it declares less the tensors that stay on chip.

        A rotation in place moves its slice only; next to an on-chip neighbour it carries whole rows in or out.
        """
        if not inner:
            return declared if not isinstance(op, Rope) else table[touched[0]].nbytes
        return np.maximum(np.asarray(declared) - sum((table[i].nbytes for i in inner), start=0.0), 0.0)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Norm and quantise with both results kept; add and norm with one result."""
        g = rng(42)
        x, r, w = g.normal(size=(3, 256)), g.normal(size=(3, 256)), g.normal(size=256)
        steps = (Step(AddRMSNorm(), (0, 1, 2), 2), Step(Quantize("fp8_block"), (3,)))
        pair = (Step(Add(), (0, 1)), Step(RMSNorm(), (3, 2)))
        return (
            Example(cls("add_rmsnorm_quantize", 3, steps, (4, 5)), (x, r, w), ("bfloat16",) * 3),
            Example(cls("add_rmsnorm", 3, pair, (4,)), (x, r, w), ("bfloat16",) * 3),
        )


def _per(total: Number, elements: Number) -> float:
    """Operations per element, one number for a whole sweep (ratios of sizes do not change along an axis)."""
    ratio = np.asarray(total, dtype=np.float64) / np.maximum(np.asarray(elements, dtype=np.float64), 1e-30)
    return float(np.max(ratio))
