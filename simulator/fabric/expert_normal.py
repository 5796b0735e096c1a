"""High-throughput expert dispatch and combine: one copy per (token, domain) over the network, then one per rank inside.

A few SMs move the data, so a copy costs SM time as well as link time. Inside one domain: T R copies of which (1 - 1/n)
leave the rank. Across domains: T N (1 - 1/d) copies per rank through its network port; one sending warp per remote
domain, so few domains cannot fill the port with few SMs. R, N: expected distinct ranks and domains of a token.
Source: deepseek-ai/DeepEP README (normal kernels), csrc/kernels/internode.cu (warp roles).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

import numpy as np

from simulator.fabric.overlap import partly_overlapped
from simulator.fabric.routing import expected_parts
from simulator.fabric.topology import Span
from simulator.ops.tensor import Number
from simulator.ops.work import ExpertExchange


def copies(term: ExpertExchange, parts: int) -> float:
    """Expected distinct parts (ranks or domains) of a token."""
    return expected_parts(parts, term.experts, term.topk, term.groups, term.max_groups)


def inside_seconds(
    term: ExpertExchange, span: Span, sms: Number, values: Mapping[str, float]
) -> tuple[Number, Number, Number]:
    """(seconds, SM time, link time) in one domain. values: start, sm_rate, share, overlap."""
    volume = np.asarray(term.tokens, dtype=np.float64) * copies(term, term.ranks) * term.copy_bytes
    engines = volume / (sms * values["sm_rate"])
    links = volume * (1.0 - 1.0 / span.ranks) / (values["share"] * span.inner.bandwidth)
    return values["start"] + partly_overlapped(engines, links, values["overlap"]), engines, links


def across_seconds(
    term: ExpertExchange, span: Span, sms: Number, values: Mapping[str, float]
) -> tuple[Number, Number, Number]:
    """(seconds, SM time, network time) over several domains.

    values: start, network_hop (per doubling of the domains), sm_rate, warp_exponent, nic_share, overlap.
    """
    if span.outer is None:
        raise ValueError("an exchange inside one domain does not cross the network")
    remote = copies(term, span.domains) * (1.0 - 1.0 / span.domains)
    volume = np.asarray(term.tokens, dtype=np.float64) * remote * term.copy_bytes
    senders = (span.domains - 1) ** values["warp_exponent"]
    engines = volume / (sms * values["sm_rate"] * senders)
    network = volume / (values["nic_share"] * span.outer.bandwidth)
    latency = values["start"] + values["network_hop"] * (log2(span.domains) - 1.0)
    return latency + partly_overlapped(engines, network, values["overlap"]), engines, network
