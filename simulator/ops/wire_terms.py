"""Terms of the fabric: collectives and expert exchanges. See work.py."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.ops.routing import expected_destinations
from simulator.ops.tensor import Dim, Number, as_float


@dataclass(frozen=True, slots=True, eq=False)
class Collective:
    """A collective over ``ranks`` ranks of one named parallel group.

    kind: all_reduce, all_gather, reduce_scatter, all_to_all, send_recv, broadcast.
    payload: bytes in nccl-tests' sense: all-reduce buffer; all-gather TOTAL output; reduce-scatter TOTAL input;
    all-to-all per-rank send buffer; send_recv message.
    """

    kind: str
    payload: Number
    ranks: int
    group: str = "tp"

    def wire_bytes(self) -> Number:
        """Bytes one rank sends, bandwidth-optimal: (n-1)/n of the payload, twice that for all-reduce."""
        n = self.ranks
        if n <= 1:
            return 0.0
        share = {"all_reduce": 2.0 * (n - 1) / n, "send_recv": 1.0, "broadcast": 1.0}.get(self.kind, (n - 1) / n)
        return share * self.payload


@dataclass(frozen=True, slots=True, eq=False)
class ExpertExchange:
    """Expert-parallel dispatch or combine: each of ``tokens`` local tokens goes to (returns from) topk experts.

    tokens: per rank; where ranks are unevenly loaded, as many as cause the traffic of the fullest one if all had them.

    direction: "dispatch" or "combine". copy_bytes: bytes of one token copy (7,392 for V3 FP8 dispatch, 14,336 combine).
    mode: "low_latency" (one message per token and expert) or "normal" (one copy per token and node, then NVLink).
    max_groups: routing limited to that many expert groups (= nodes when groups are packed on nodes); 0 = free.
    ranks_per_node: ranks that share a node (0 = all of them); only the normal mode distinguishes.
    """

    direction: str
    tokens: Dim
    topk: int
    experts: int
    ranks: int
    hidden: int
    copy_bytes: float
    mode: str = "low_latency"
    max_groups: int = 0
    groups: int = 0
    group: str = "ep"
    ranks_per_node: int = 0

    def logical_bytes(self) -> Number:
        """tokens topk copy_bytes, the local share included (the DeepEP tables' convention)."""
        return as_float(self.tokens) * self.topk * self.copy_bytes

    def copies_per_token(self, destinations: int) -> float:
        """Copies of one token when it goes once to each distinct destination (``destinations`` ranks or nodes).

        In low-latency mode one message per expert, wherever it lives.
        """
        if self.mode == "low_latency":
            return float(self.topk)
        return expected_destinations(self.experts, self.topk, destinations, self.groups or 1, self.max_groups or 1)

    def wire_bytes(self) -> Number:
        """Expected bytes one rank sends, experts spread evenly.

        Low latency: every message but the local share. Normal: one copy per remote node to the relay there, then one
        copy per further rank of the node. Source: operators.md c.
        """
        if self.mode == "low_latency":
            return self.logical_bytes() * (self.ranks - 1) / self.ranks
        size = self.ranks_per_node or self.ranks
        nodes = max(self.ranks // size, 1)
        between = self.copies_per_token(nodes) * (nodes - 1) / nodes
        within = self.copies_per_token(self.ranks) * (size - 1) / size
        return as_float(self.tokens) * self.copy_bytes * (between + within)
