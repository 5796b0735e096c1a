"""TopK selection of scored keys, and ArgMax for greedy sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import work
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import replace_dim, rows_of
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work


def largest(scores: Array, k: int) -> Array:
    """Indices of the k largest of the last axis, ties lowest index first; -1 where fewer than k are above -inf."""
    order = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    missing = np.isneginf(np.take_along_axis(scores, order, axis=-1))
    chosen = np.where(missing, -1, order).astype(np.int32)
    short = k - chosen.shape[-1]
    if short <= 0:
        return chosen
    return np.pad(chosen, [(0, 0)] * (chosen.ndim - 1) + [(0, short)], constant_values=-1)


@dataclass(frozen=True)
class TopK(Op):
    """scores[.., L] -> indices[.., k] int32 of the largest scores; -1 where a row has fewer than k above -inf."""

    k: int
    family = "dsa"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[.., k]."""
        return (replace_dim(inputs[0], -1, self.k).with_dtype("int32"),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Selection over every row."""
        x = inputs[0]
        return Work((work.TopK(rows_of(x), x.shape[-1], self.k),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Stable descending order."""
        return (largest(arrays[0], self.k),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Enough keys, too few keys, ties."""
        g = rng(30)
        scores = g.normal(size=(2, 3, 8))
        causal = np.where(np.tri(3, 4, 1, dtype=bool), g.normal(size=(1, 3, 4)), -np.inf)
        ties = np.zeros((1, 2, 5))
        return tuple(Example(cls(k), (s,), ("fp32",)) for k, s in ((3, scores), (6, causal), (2, ties)))


@dataclass(frozen=True)
class ArgMax(Op):
    """logits[.., V] -> ids[..] int32 of the largest logit (greedy sampling); ties lowest id first."""

    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Last axis gone."""
        return (TensorSpec(inputs[0].shape[:-1], "int32"),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One pass over the logits."""
        x = inputs[0]
        term = work.Elementwise("arg_max", rows_of(x), x.shape[-1], x.nbytes, outputs[0].nbytes)
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """numpy.argmax."""
        return (np.argmax(arrays[0], axis=-1).astype(np.int32),)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Flat and batched rows."""
        g = rng(31)
        return tuple(Example(cls(), (g.normal(size=s),), ("fp32",)) for s in ((3, 8), (2, 3, 8)))
