"""GroupedLinear: one weight per local expert, ragged row counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import counting
from simulator.ops.load_curve import LoadCurve
from simulator.ops.op import Array, Example, Op, rng
from simulator.ops.quantize import fake_quantize
from simulator.ops.shapes import require, same
from simulator.ops.tensor import Dim, Number, TensorSpec
from simulator.ops.work import GroupedMatmul, Work


def active_experts(rows: Dim, local: Dim, experts: Dim, topk: int) -> Number:
    """Expected number of local experts with at least one row, tokens routed evenly and independently.

    rows: (token, expert) rows held here; all ranks of the group together route rows experts / (local topk) tokens, and
    an expert misses all of them with probability (1 - topk / experts) ** tokens. Capped by the rows and experts held
    here. Source: occupancy of independent draws (operators.md c: tokens per expert = tokens topk / experts).
    """
    r, n, e = (np.asarray(v, dtype=np.float64) for v in (rows, local, experts))
    tokens = r * e / (n * topk)
    hit = -np.expm1(tokens * np.log1p(-np.minimum(topk / e, 1.0 - 1e-15)))
    return least(n * hit, r, n)


def least(*values: Dim) -> Number:
    """The smallest of ``values``, entry by entry."""
    found = np.minimum.reduce(np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in values)))
    return found if np.ndim(found) else float(found)


@dataclass(frozen=True)
class GroupedLinear(Op):
    """rows[R, k] sorted by expert, counts[El], w[El, n, k], [bias[El, n]] -> [R, n].

    experts: logical experts of the whole expert-parallel group (0 = those held here); topk: experts per token; both
    only set the expected number of active experts. loads: known rows per local expert (else even). curve: uneven
    popularity of the experts: says how many are active and how their rows spread.
    bias_share: as in Linear.
    """

    rate: str = "bf16"
    out_dtype: str = "bfloat16"
    quantizes_a: str = ""
    experts: int = 0
    topk: int = 1
    loads: tuple[float, ...] = ()
    curve: LoadCurve | None = None
    bias_share: float = 1.0
    family = "grouped_gemm"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[R, n]."""
        rows, counts, w = inputs[:3]
        fits = len(w.shape) == 3 and same(rows.shape[-1], w.shape[2]) and same(counts.shape[0], w.shape[0])
        require(self, fits, "rows[R, k], counts[E] and w[E, n, k] must share k and E", rows, counts, w)
        return (TensorSpec((rows.shape[0], w.shape[1]), self.out_dtype),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """Ragged products; weights of the active experts stream once."""
        rows, _, w = inputs[:3]
        local, n, k = w.shape
        r = rows.shape[0]
        loads = np.asarray(self.loads, dtype=np.float64) if self.loads else None
        spread: Number = 0.0
        if loads is not None:
            active: Number = float(np.count_nonzero(loads))
        elif self.curve is not None:
            active, spread = least(self.curve.active_experts(r), r, local), self.curve.spread(r)
        else:
            active = active_experts(r, local, self.experts or local, self.topk)
        a_dtype, quantizes = self.quantizes_a or rows.dtype, bool(self.quantizes_a)
        out, rate = self.out_dtype, self.rate
        term = GroupedMatmul(r, local, active, n, k, a_dtype, w.dtype, out, rate, loads, quantizes, spread)
        return Work((term,))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """Expert after expert."""
        rows, counts, w = arrays[:3]
        if self.quantizes_a:
            rows = fake_quantize(rows, self.quantizes_a)
        out = np.zeros((rows.shape[0], w.shape[1]), dtype=np.result_type(rows, w))
        ends = np.cumsum(counts.astype(np.int64))
        for e, (end, count) in enumerate(zip(ends, counts, strict=True)):
            part = slice(end - count, end)
            out[part] = counting.linear(rows[part], w[e])
            if len(arrays) == 4:
                out[part] += arrays[3][e] * out.dtype.type(self.bias_share)
        return (out,)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Even counts, ragged counts with an idle expert and a bias, known loads."""
        g = rng(2)
        w = g.normal(size=(3, 5, 4))
        rows = g.normal(size=(6, 4))
        dtypes = ("bfloat16", "int32", "bfloat16")
        return (
            Example(cls(topk=2, experts=12), (rows, np.array([2, 2, 2]), w), dtypes),
            Example(cls(), (rows, np.array([5, 0, 1]), w, g.normal(size=(3, 5))), (*dtypes, "bfloat16")),
            Example(cls(loads=(4.0, 0.0, 2.0)), (rows, np.array([4, 0, 2]), w), dtypes),
        )
