"""Expert exchange on a unified-bus or HCCS pod driven by vector cores or SDMA (Ascend).

Low latency: issue, flags and window copies dominate; time grows with log2 of the ranks and hardly with the payload
until the port rate binds. Normal: volume over the port, losing rate as the group grows. Source: arXiv:2506.12708
section 4 (fused dispatch and combine), DeepEP-Ascend README.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

import numpy as np

from simulator.devices.overlap import partly_overlapped
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number
from simulator.ops.work import ExpertExchange


def switched_seconds(term: ExpertExchange, span: Span, values: Mapping[str, float]) -> tuple[Number, Number]:
    """(seconds, port time). values: start, doubling, share, spread (loss per squared doubling beyond ``base``)."""
    doublings = max(0.0, log2(max(1, term.ranks)) - log2(values["base"]))
    links = np.asarray(term.logical_bytes()) / (values["share"] * span.inner.bandwidth)
    links = links * (1.0 + values["spread"] * doublings**2)
    latency = values["start"] + values["doubling"] * doublings
    return partly_overlapped(latency, links, values["overlap"]), links
