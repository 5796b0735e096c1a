"""What the backward pass costs relative to the forward pass, by kind of work."""

from __future__ import annotations

from simulator.ops.work import Attention, Collective, ExpertExchange, GroupedMatmul, Matmul, Term, Work

PRODUCT = 2.0
"""A product's backward pass has two products of the same size: gradients of the input and of the weight."""

ATTENTION = 2.5
"""Attention recomputes its scores and multiplies four times where the forward pass multiplies twice.
Source: FlashAttention-2 (arXiv 2307.08691), section 4: backward FLOPs = 2.5 forward."""

EXCHANGE = 1.0
"""Every exchange of activations has one of gradients."""

VECTOR = 1.5
"""Gradients read what the forward pass read and what it wrote, and write one tensor."""


def backward_share(work: Work) -> float:
    """Backward over forward time of an operator: that of its heaviest kind of term."""
    return max((_share(term) for term in work), default=0.0)


def _share(term: Term) -> float:
    if isinstance(term, Matmul | GroupedMatmul):
        return PRODUCT
    if isinstance(term, Attention):
        return ATTENTION
    return EXCHANGE if isinstance(term, Collective | ExpertExchange) else VECTOR
