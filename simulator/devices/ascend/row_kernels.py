"""How row-wise vector kernels walk their rows: what follows from the operator, not from a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowKernel:
    """A kernel in which each row is worked off by one vector core.

    round_trips: between vector and scalar unit per row (maximum, sum, norm and its reciprocal); half of one where rows
    are only split or spread. batched: short rows share a round trip. shared: idle cores take parts of a row.
    workspace: bytes an element that go through L2 between two phases of the kernel, there and back. least_ops:
    instructions an element takes even where a graph counts part of the work as a matrix product.
    """

    round_trips: float
    batched: bool = False
    shared: bool = False
    workspace: float = 0.0
    least_ops: float = 0.0


_NORM = RowKernel(2, batched=True)  # mean square, then its reciprocal root
_SOFTMAX = RowKernel(2, batched=True)  # maximum and sum
_QUANTISE = RowKernel(1)  # absolute maximum

ROW_KERNELS: Mapping[str, RowKernel] = {
    **dict.fromkeys(("rmsnorm", "layernorm", "add_rmsnorm", "gated_rmsnorm"), _NORM),
    **dict.fromkeys(("softmax", "cross_entropy"), _SOFTMAX),
    **dict.fromkeys(("moe_gating_topk_softmax", "moe_gate"), RowKernel(1, batched=True)),
    **dict.fromkeys(("quantize", "quantize_int8_dynamic", "dequant_silu_mul_quant", "silu_mul_quantize"), _QUANTISE),
    **dict.fromkeys(("kv_rmsnorm_rope_cache", "add_rmsnorm_quant_mx"), RowKernel(2)),
    # the normed row is kept in fp32 while its maximum is sought
    **dict.fromkeys(("add_rmsnorm_quant_int8", "add_rmsnorm_quantize"), RowKernel(2, workspace=8.0)),
    "multi_add_rmsnorm_quant_int8": RowKernel(3),  # the norm's two and the quantiser's
    "mhc_sinkhorn": RowKernel(40),  # row and column sums of 20 iterations
    # vector cores project four streams on 24 mixing weights: a product and a sum each, norm and mix around them
    "mhc_pre": RowKernel(1, least_ops=54.0),
    "arg_max": RowKernel(1, shared=True),
    "silu_mul": RowKernel(0.5),  # two halves of a row, no reduction
    "sigmoid_mul": RowKernel(0.5),
}
"""Operator name -> how its kernel walks rows. Operators not listed work on elements, wherever rows end."""

BROADCAST = RowKernel(0.5)
"""An elementwise operator with one operand that holds a value per row."""
