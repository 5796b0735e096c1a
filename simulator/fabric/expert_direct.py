"""Expert exchange by direct stores over one scale-up domain, without copy engines in between.

Two-sided: sender and receiver meet in a FIFO, the own rank's copies pass through it too. One-sided: only remote copies
move, a dispatch ends with one round of flags, a combine waits for a second one. A round grows with log2 of the ranks.
``prepare`` exchanges counts and offsets; ``quantised`` combines send narrow copies and pay a pass over every (token,
expert) slot. Source: TensorRT-LLM, cpp/tensorrt_llm/kernels (MNNVL all-to-all).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

import numpy as np

from simulator.fabric.expert_normal import copies
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number
from simulator.ops.work import ExpertExchange


def direct_seconds(
    term: ExpertExchange, span: Span, values: Mapping[str, float], *, local: bool, rounds: int = 1, tray: int = 0
) -> tuple[Number, Number]:
    """(seconds, link time).

    values: starts (of the link tier), hops (of the tier, per doubling of the ranks and round), share, tray_share (beyond
    ``tray`` ranks).
    """
    moved = 1.0 if local else 1.0 - 1.0 / term.ranks
    volume = np.asarray(term.tokens, dtype=np.float64) * copies(term, term.ranks) * term.copy_bytes * moved
    share = values["share"] * (values.get("tray_share", 1.0) if tray and term.ranks > tray else 1.0)
    links = volume / (share * span.inner.bandwidth)
    hops = rounds * values.get("hops", 0.0) * log2(max(2, term.ranks))
    return values["starts"] * span.inner.start + hops * span.inner.latency + links, links


def prepare_seconds(tokens: Number, span: Span, values: Mapping[str, float]) -> Number:
    """Count and offset exchange before a two-sided dispatch: the tier's starts + per_token T."""
    return values["starts"] * span.inner.start + values["per_token"] * np.asarray(tokens, dtype=np.float64)
