"""All-reduce kernels of serving frameworks: peers' buffers are read directly over the scale-up links.

One-shot: every rank reads all n - 1 peers and adds (one synchronisation, (n - 1) S bytes). Two-shot: reduce-scatter,
then all-gather by direct reads (two synchronisations, 2 S (n - 1) / n bytes). Two ranks always take one shot. Source:
vLLM csrc/custom_all_reduce.cuh; TensorRT-LLM allReduceKernels.
"""

from __future__ import annotations

import numpy as np

from simulator.ops.tensor import Number
from simulator.profiles.system import Tier


def one_shot_seconds(payload: Number, ranks: int, tier: Tier, *, start: float, peer: float, share: float) -> Number:
    """start: launch and barrier of the kernel. peer: added cost of each further peer. share: of the link rate."""
    return start + peer * (ranks - 1) + payload * (ranks - 1) / (share * tier.bandwidth)


def two_shot_seconds(
    payload: Number, ranks: int, tier: Tier, *, start: float, peer: float, share: float, barrier: float
) -> Number:
    """barrier: the second synchronisation."""
    if ranks <= 2:
        return np.full(np.shape(payload), np.inf) if np.ndim(payload) else np.inf
    volume = 2 * payload * (ranks - 1) / ranks
    return start + peer * (ranks - 1) + barrier + volume / (share * tier.bandwidth)
