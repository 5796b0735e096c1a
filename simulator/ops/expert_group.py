"""ExpertGroup: the ranks that share the experts of a layer, and what they expect of a step: rows, copies, reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.load_curve import LoadCurve
from simulator.ops.routing import expected_destinations
from simulator.ops.tensor import Dim, Number

MODES = ("low_latency", "normal", "replicated", "partial", "all_gather")
REPLICATED = ("replicated", "partial")


@dataclass(frozen=True)
class ExpertGroup:
    """Parameters of the exchange and what follows from them on average.

    experts: logical experts of the group; topk: experts per token. placement: logical expert of every physical slot (()
    = identity); a rank owns len(placement) / ranks consecutive slots, and replicas of an expert take tokens in turn.
    ranks_per_node: 0 = one node. n_group, topk_group: group-limited routing (expected traffic only). imbalance: rows of
    the fullest rank over the mean; loads: relative rows per rank, replaces it; curve: the imbalance by the number of
    tokens, replaces both. Costs are those of the fullest rank. dtype: format on the wire, must be the input's.
    """

    group: str = "ep"
    ranks: int = 1
    experts: int = 1
    topk: int = 1
    mode: str = "low_latency"
    ranks_per_node: int = 0
    n_group: int = 1
    topk_group: int = 1
    imbalance: float = 1.0
    loads: tuple[float, ...] = ()
    curve: LoadCurve | None = None
    placement: tuple[int, ...] = ()
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"{type(self).__name__}: unknown mode {self.mode!r}; known: {', '.join(MODES)}")
        if self.slots % self.ranks:
            raise ValueError(f"{type(self).__name__}: {self.slots} expert slots do not divide over {self.ranks} ranks")

    @property
    def slots(self) -> int:
        """Physical experts: logical ones and replicas."""
        return len(self.placement) or self.experts

    @property
    def local_experts(self) -> int:
        """Physical experts of one rank."""
        return self.slots // self.ranks

    @property
    def nodes(self) -> int:
        """Nodes of the group."""
        return max(self.ranks // (self.ranks_per_node or self.ranks), 1)

    def group_tokens(self, tokens: Dim) -> Dim:
        """Different tokens of the whole group when every rank contributes ``tokens``."""
        return tokens if self.mode in REPLICATED else tokens * self.ranks

    def skew(self, tokens: Dim) -> Number:
        """Rows of the fullest rank over the mean when every rank contributes ``tokens`` tokens."""
        if self.curve is not None:
            return self.curve.imbalance(self.group_tokens(tokens))
        return max(self.loads) * len(self.loads) / sum(self.loads) if self.loads else self.imbalance

    @property
    def limited(self) -> bool:
        """Whether the gate's groups limit the ranks and nodes of a token."""
        return self.n_group > 1 and not (self.curve is not None and self.curve.scattered)

    def reached(self, parts: int) -> float:
        """Expected distinct ``parts`` (ranks or nodes) of a token, experts equally popular."""
        groups = (self.n_group, self.topk_group) if self.limited else (1, 1)
        return expected_destinations(self.slots, self.topk, parts, *groups)

    def wire_skew(self, tokens: Dim) -> Number:
        """Copies through the port of the fullest rank over the mean: received by the dispatch, sent by the combine.

        Low latency: messages are rows. Normal: a token travels once to a node (in one node: a rank), and a part with s
        times the mean choices is missed by a token with probability (1 - h)^s, h that of the mean part being hit
        (independent choices). Where only a rank's imbalance is known, nodes count as equally uneven.
        """
        if self.mode == "low_latency":
            return self.skew(tokens)
        parts, skew = (self.nodes if self.nodes > 1 else self.ranks), self.skew(tokens)
        if self.nodes > 1 and self.curve is not None:
            skew = self.curve.node_imbalance(self.group_tokens(tokens))
        hit = min(self.reached(parts) / parts, 1.0 - 1e-12)
        found: Number = np.maximum(-np.expm1(np.asarray(skew) * np.log1p(-hit)) / hit, 1.0)
        return found if np.ndim(found) else float(found)

    def fullest_port(self, tokens: Dim) -> Dim:
        """Tokens per rank that would cause the traffic of the fullest port if all ranks had them."""
        even = self.curve is None and not self.loads and self.imbalance <= 1
        return tokens if even else tokens * self.wire_skew(tokens)

    def rows(self, tokens: Dim) -> Dim:
        """Rows the fullest rank receives when every rank contributes ``tokens`` tokens."""
        share = self.topk * self.skew(tokens) / (self.ranks if self.mode in REPLICATED else 1)
        if isinstance(tokens, int) and float(tokens * share).is_integer():
            return int(tokens * share)
        return tokens * share
