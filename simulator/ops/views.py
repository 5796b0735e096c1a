"""Views (reshape, split, slice, transpose, expand) cost nothing; concatenation copies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import axis_of, replace_dim, require, same, vector_pass
from simulator.ops.tensor import Dim, TensorSpec, prod
from simulator.ops.work import Work


class _View(Op):
    """An operator that only renames elements: no bytes move."""

    family = "elementwise"

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Nothing."""
        return Work()


@dataclass(frozen=True)
class Reshape(_View):
    """x -> the same elements in ``shape``; one dimension may be -1. Dimensions may be arrays in a sweep."""

    shape: tuple[Dim, ...] = (-1,)

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``shape`` with -1 resolved."""
        (x,) = inputs
        unknown = [i for i, d in enumerate(self.shape) if same(d, -1)]
        require(self, len(unknown) <= 1, "at most one dimension may be -1", x)
        if not unknown:
            held, wanted = np.asarray(x.elements, dtype=np.float64), np.asarray(prod(self.shape), dtype=np.float64)
            fits = bool(np.all(np.abs(held - wanted) <= 1e-9 * wanted))
            require(self, bool(fits), "element counts differ", x, x.with_shape(*self.shape))
            return (x.with_shape(*self.shape),)
        rest = x.elements / prod(tuple(d for d in self.shape if not same(d, -1)))
        if np.ndim(rest) and np.all(rest == np.ravel(rest)[0]):
            rest = np.ravel(rest)[0]  # a sweep over other dimensions leaves this one a single number
        value: Dim = rest if np.ndim(rest) else (int(rest) if float(rest).is_integer() else float(rest))
        return (x.with_shape(*(value if i in unknown else d for i, d in enumerate(self.shape))),)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """numpy.reshape."""
        return (arrays[0].reshape(tuple(int(d) for d in self.shape)),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Split and merge of the head axis."""
        x = rng(12).normal(size=(2, 3, 8))
        return Example(cls((2, 3, 4, 2)), (x,), ("bfloat16",)), Example(cls((-1, 8)), (x,), ("bfloat16",))


@dataclass(frozen=True)
class Split(_View):
    """x -> pieces of ``sizes`` along ``axis``."""

    sizes: tuple[int, ...] = ()
    axis: int = -1

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """One piece per size."""
        (x,) = inputs
        whole = x.shape[axis_of(x, self.axis)]
        require(self, same(whole, sum(self.sizes)), f"sizes {self.sizes} must add up to axis {self.axis}", x)
        return tuple(replace_dim(x, self.axis, s) for s in self.sizes)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """numpy.split."""
        return tuple(np.split(arrays[0], np.cumsum(self.sizes)[:-1], axis=self.axis))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Last and middle axis."""
        x = rng(13).normal(size=(2, 5, 6))
        return Example(cls((4, 2)), (x,), ("bfloat16",)), Example(cls((1, 1, 3), axis=1), (x,), ("bfloat16",))


@dataclass(frozen=True)
class Slice(_View):
    """x -> ``length`` entries of ``axis`` from ``start`` (negative: counted from the end)."""

    axis: int
    start: int
    length: int

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``axis`` becomes ``length``."""
        (x,) = inputs
        room = np.asarray(x.shape[axis_of(x, self.axis)])
        first = room + self.start if self.start < 0 else self.start
        fits = np.all(first >= 0) and np.all(first + self.length <= room)
        require(self, bool(fits), f"[{self.start}, +{self.length}) must lie inside axis {self.axis}", x)
        return (replace_dim(x, self.axis, self.length),)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Basic slicing."""
        (x,) = arrays
        first = self.start % x.shape[self.axis]
        return (np.take(x, np.arange(first, first + self.length), axis=self.axis),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """The last token; the middle of a row."""
        x = rng(14).normal(size=(2, 5, 6))
        return Example(cls(1, -1, 1), (x,), ("bfloat16",)), Example(cls(-1, 2, 3), (x,), ("bfloat16",))


@dataclass(frozen=True)
class Transpose(_View):
    """x -> axes permuted; the consumer reads with strides."""

    axes: tuple[int, ...] = ()

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Permuted shape."""
        (x,) = inputs
        require(self, sorted(self.axes) == list(range(len(x.shape))), f"axes {self.axes} must be a permutation", x)
        return (x.with_shape(*(x.shape[a] for a in self.axes)),)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """numpy.transpose."""
        return (np.transpose(arrays[0], self.axes),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Tokens and heads swapped."""
        x = rng(15).normal(size=(2, 5, 6))
        return Example(cls((1, 0, 2)), (x,), ("bfloat16",)), Example(cls((2, 1, 0)), (x,), ("bfloat16",))


@dataclass(frozen=True)
class Expand(_View):
    """x -> every entry of ``axis`` repeated ``times`` times in a row (stride 0: shared rope key, KV heads)."""

    axis: int = -2
    times: int = 1

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``axis`` grows by ``times``."""
        (x,) = inputs
        return (replace_dim(x, self.axis, x.shape[axis_of(x, self.axis)] * self.times),)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """numpy.repeat."""
        return (np.repeat(arrays[0], self.times, axis=self.axis),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One key for four heads; KV heads for their query heads."""
        g = rng(16)
        return (
            Example(cls(-2, 4), (g.normal(size=(3, 1, 6)),), ("bfloat16",)),
            Example(cls(-2, 2), (g.normal(size=(3, 2, 6)),), ("bfloat16",)),
        )


@dataclass(frozen=True)
class Concat(Op):
    """x.. -> joined along ``axis``. in_place: producers wrote straight into their slice of the result, no copy."""

    axis: int = -1
    in_place: bool = False
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``axis`` is the sum; format of the first input."""
        first = inputs[0]
        axis = axis_of(first, self.axis)
        for x in inputs[1:]:
            rest = [same(a, b) for i, (a, b) in enumerate(zip(first.shape, x.shape, strict=True)) if i != axis]
            require(self, all(rest), f"all but axis {self.axis} must agree", *inputs)
        total: Dim = inputs[0].shape[axis]
        for x in inputs[1:]:
            total = total + x.shape[axis]
        return (replace_dim(first, axis, total),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Everything read and written once, or nothing."""
        return Work() if self.in_place else vector_pass("concat", inputs, outputs, ops=0.0)

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """numpy.concatenate."""
        return (np.concatenate(arrays, axis=self.axis),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Nope and rope halves; two batches."""
        g = rng(17)
        a, b = g.normal(size=(2, 3, 4)), g.normal(size=(2, 3, 2))
        return (
            Example(cls(), (a, b), ("bfloat16",) * 2),
            Example(cls(axis=0), (a, a + 1, a), ("bfloat16",) * 3),
        )
