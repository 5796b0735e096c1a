"""HashGate: experts from a token-id table, weights from the router (first layers of DeepSeek-V4)."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.ops.counting import take_rows
from simulator.ops.moe_gate import gate_scores, gate_weights
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.shapes import require, same
from simulator.ops.tensor import TensorSpec, prod
from simulator.ops.work import Elementwise, Gather, Work
from simulator.profiles.dtypes import format_of


@dataclass(frozen=True)
class HashGate(Op):
    """logits[T, E], ids[T], table[V, k] int32 -> indices[T, k] int32, weights[T, k] fp32.

    The table fixes the experts of every token id; their weights come from the logits as in MoeGate. Source:
    operators.md c.
    """

    topk: int
    score: str = "sqrt_softplus"
    norm_topk: bool = True
    scaling: float = 1.0
    family = "elementwise"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[T, k] twice."""
        logits, ids, table = inputs
        fits = same(logits.shape[0], ids.shape[0]) and same(table.shape[1], self.topk)
        require(self, fits, "logits[T, E], ids[T] and table[V, topk] must agree", *inputs)
        chosen = logits.with_shape(logits.shape[0], self.topk)
        return chosen.with_dtype("int32"), chosen.with_dtype("fp32")

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One table row per token; scores of the logits."""
        logits, ids, table = inputs
        row = prod(table.shape[1:]) * format_of(table.dtype).bytes
        tokens, experts = logits.shape
        scores = Elementwise("moe_gate", tokens, experts, logits.nbytes, outputs[1].nbytes, ops=4.0, exps=1.0)
        return Work((Gather(ids.elements, row, "hash_experts"), scores))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """table[ids] and their weights."""
        logits, ids, table = arrays
        indices = take_rows(table, ids, source=2)
        return indices, gate_weights(gate_scores(logits, self.score), indices, self.norm_topk, self.scaling)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Two widths."""
        g = rng(38)

        def case(tokens: int, k: int) -> Example:
            table = g.permuted(g.permuted([list(range(8))] * 11, axis=1), axis=1)[:, :k].astype("int32")
            arrays = (g.normal(size=(tokens, 8)), g.integers(0, 11, size=tokens), table)
            return Example(cls(k), arrays, ("fp32", "int32", "int32"))

        return case(5, 2), case(3, 4)
