"""MoeGate: pick experts and their weights from router logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.elementwise import sigmoid
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, require_rank, same
from simulator.ops.tensor import TensorSpec
from simulator.ops.top_k import largest
from simulator.ops.work import Elementwise, Work

SCORES = ("sigmoid", "softmax", "sqrt_softplus")


def gate_scores(logits: Array, kind: str) -> Array:
    """Affinity of every expert; ValueError lists the known kinds."""
    if kind == "sigmoid":
        return sigmoid(logits)
    if kind == "softmax":
        e = np.exp(logits - logits.max(axis=-1, keepdims=True))
        out: Array = e / e.sum(axis=-1, keepdims=True)
        return out
    if kind == "sqrt_softplus":
        return np.sqrt(np.logaddexp(0.0, logits))
    raise ValueError(f"unknown gate score {kind!r}; known: {', '.join(SCORES)}")


def gate_weights(scores: Array, indices: Array, normalise: bool, scaling: float) -> Array:
    """Scores of the chosen experts, summing to ``scaling`` if normalised."""
    chosen = np.take_along_axis(scores, indices, axis=-1)
    if normalise:
        chosen = chosen / (chosen.sum(axis=-1, keepdims=True) + 1e-20)
    return chosen * scaling


def keep_groups(biased: Array, n_group: int, topk_group: int, group_top: int) -> Array:
    """-inf outside the ``topk_group`` groups with the largest sum of their ``group_top`` best scores."""
    if n_group == 1 or topk_group >= n_group:
        return biased
    grouped = biased.reshape(-1, n_group, biased.shape[-1] // n_group)
    best = np.sort(grouped, axis=-1)[..., -group_top:].sum(axis=-1)
    kept = np.zeros(best.shape, dtype=bool)
    np.put_along_axis(kept, largest(best, topk_group).astype(np.int64), True, axis=-1)
    return np.where(kept[..., None], grouped, -np.inf).reshape(biased.shape)


@dataclass(frozen=True)
class MoeGate(Op):
    """logits[T, E], [bias[E]] -> indices[T, k] int32, weights[T, k] fp32.

    score: sigmoid (DeepSeek-V3), softmax (Mixtral, Qwen3), sqrt_softplus (DeepSeek-V4). The bias steers the selection,
    not the weights. n_group, topk_group: only the best groups are eligible, a group being worth the sum of its
    ``group_top`` best. norm_topk: weights sum to ``scaling``. Source: DeepSeek-V3 report eq. 13-16.
    """

    topk: int
    score: str = "sigmoid"
    n_group: int = 1
    topk_group: int = 1
    group_top: int = 2
    norm_topk: bool = True
    scaling: float = 1.0
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[T, k] twice."""
        logits, *bias = inputs
        require_rank(self, logits, 2, "logits")
        require(self, all(same(b.shape[0], logits.shape[1]) for b in bias), "bias[E] must match logits", *inputs)
        require(self, same(np.asarray(logits.shape[1]) % self.n_group, 0), "E must be a multiple of n_group", logits)
        chosen = logits.with_shape(logits.shape[0], self.topk)
        return chosen.with_dtype("int32"), chosen.with_dtype("fp32")

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One fused kernel over the logits: score, group scores, selection."""
        logits = inputs[0]
        read, written = sum(x.nbytes for x in inputs), sum(x.nbytes for x in outputs)
        tokens, experts = logits.shape
        return Work((Elementwise("moe_gate", tokens, experts, read, written, ops=4.0 + self.topk, exps=1.0),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Ties go to the lowest expert."""
        logits, *bias = arrays
        scores = gate_scores(logits, self.score)
        biased = scores + bias[0] if bias else scores
        indices = largest(keep_groups(biased, self.n_group, self.topk_group, self.group_top), self.topk)
        return indices, gate_weights(scores, indices, self.norm_topk, self.scaling)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """DeepSeek-V3 style, Mixtral style, DeepSeek-V4 style."""
        g = rng(37)
        logits, bias = g.normal(size=(5, 16)), g.normal(size=16)
        return (
            Example(cls(4, n_group=4, topk_group=2, scaling=2.5), (logits, bias), ("fp32",) * 2),
            Example(cls(2, score="softmax"), (logits,), ("fp32",)),
            Example(cls(3, score="sqrt_softplus", scaling=1.5), (logits, bias), ("fp32",) * 2),
        )
