"""High-throughput expert dispatch and combine: one copy per (token, domain) over the network, then one per rank inside.

A few SMs move the data, so a copy costs SM time as well as link time. Inside one domain: T R copies, of which (1 - 1/n)
leave the rank. Across domains the SMs post T N (1 - 1/d) copies to the network port, which sends them on its own, and
forward T R copies inside. R, N: expected distinct ranks and domains of a token. Two kernels, counts first, each pay the
start of the link tier. Source: deepseek-ai/DeepEP README (normal kernels), csrc/kernels/internode.cu (warp roles).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

import numpy as np

from simulator.devices.overlap import partly_overlapped
from simulator.fabric.routing import expected_parts
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number
from simulator.ops.work import ExpertExchange

KERNELS = 2  # notify, then transmit


def copies(term: ExpertExchange, parts: int) -> float:
    """Expected distinct parts (ranks or domains) of a token."""
    return expected_parts(parts, term.experts, term.topk, term.groups, term.max_groups)


def inside_seconds(
    term: ExpertExchange, span: Span, sms: Number, values: Mapping[str, float]
) -> tuple[Number, Number, Number]:
    """(seconds, SM time, link time) in one domain. values: start, sm_rate, overlap (of SMs and links)."""
    volume = _bytes_per_copy(term) * copies(term, term.ranks)
    engines = volume / (sms * values["sm_rate"])
    links = volume * (1.0 - 1.0 / span.ranks) / span.inner.bandwidth
    start = values["start"] + KERNELS * span.inner.start
    return start + partly_overlapped(engines, links, values["overlap"]), engines, links


def across_seconds(
    term: ExpertExchange, span: Span, sms: Number, values: Mapping[str, float]
) -> tuple[Number, Number, Number]:
    """(seconds, SM time, network time) over several domains.

    values: start, network_hop (per doubling of the domains), sm_rate, nic_share.
    """
    if span.outer is None:
        raise ValueError("an exchange inside one domain does not cross the network")
    posted = copies(term, span.domains) * (1.0 - 1.0 / span.domains)
    engines = _bytes_per_copy(term) * (posted + copies(term, term.ranks)) / (sms * values["sm_rate"])
    network = _bytes_per_copy(term) * posted / (values["nic_share"] * span.outer.bandwidth)
    start = values["start"] + KERNELS * span.inner.start + values["network_hop"] * log2(span.domains)
    return start + np.maximum(engines, network), engines, network


def _bytes_per_copy(term: ExpertExchange) -> Number:
    """Bytes of one copy of every token."""
    return np.asarray(term.tokens, dtype=np.float64) * term.copy_bytes
