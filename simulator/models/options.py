"""Choices of how a model runs that are neither its architecture nor its layout."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.ops.load_curve import LoadCurve


@dataclass(frozen=True, slots=True)
class Options:
    """Execution choices of one step.

    absorbed_prefill: run MLA prefill in the absorbed (MQA) form. masked_mha_below: sparse attention runs prefill as
    masked dense attention while the context is at most this long (0 = never). mtp_passes: multi-token-prediction
    modules executed in the step.
    exchange: expert exchange kernels (auto = low_latency in decode, normal in prefill). ranks_per_node: devices of
    one scale-up domain for the exchange (0 = all). imbalance: load of the busiest rank over the mean; expert_loads:
    the same by the number of tokens in a step, replaces it. fusions: names of fusions to apply (see passes.fuse).
    overlap: none or two_batch. sample: end with the head and greedy selection.
    """

    absorbed_prefill: bool = False
    masked_mha_below: int = 0
    mtp_passes: int = 0
    exchange: str = "auto"
    ranks_per_node: int = 0
    imbalance: float = 1.0
    expert_loads: LoadCurve | None = None
    fusions: tuple[str, ...] = ()
    overlap: str = "none"
    sample: bool = True
