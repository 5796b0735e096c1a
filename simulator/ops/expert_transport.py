"""How token rows travel between simulated expert-parallel ranks, with real buffers and counted bytes.

Every transport delivers the same (token, slot) pairs; they differ in what crosses the wire. Rank r holds the physical
experts [r n, (r + 1) n); a node holds ``ranks_per_node`` consecutive ranks, and internode traffic goes through the
relay on the target node that has the sender's position (DeepEP's normal mode). Source: operators.md c; DeepEP README.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array


@dataclass(frozen=True, slots=True)
class Routing:
    """Where each token of each rank goes: owner[src][T, k] ranks; ranks, ranks_per_node (a divisor of ranks)."""

    owner: list[Array]
    ranks: int
    ranks_per_node: int

    def node(self, rank: int) -> int:
        """Node of a rank."""
        return rank // self.ranks_per_node

    def relay(self, src: int, node: int) -> int:
        """Rank on ``node`` with the position of ``src``."""
        return node * self.ranks_per_node + src % self.ranks_per_node

    def tokens_for(self, src: int, ranks: range) -> Array:
        """Tokens of ``src`` with at least one expert on ``ranks``, ascending."""
        o = self.owner[src]
        return np.flatnonzero(((o >= ranks.start) & (o < ranks.stop)).any(axis=1))

    def on_node(self, node: int) -> range:
        """Ranks of a node."""
        return range(node * self.ranks_per_node, (node + 1) * self.ranks_per_node)


Delivered = list[list[tuple[Array, Array]]]
"""delivered[dst][src] = (token of each row, rows)."""


def deliver_messages(x: list[Array], routing: Routing, element_bytes: float) -> tuple[Delivered, list[int]]:
    """One message per (token, expert): low-latency mode."""
    sent = [0.0] * routing.ranks
    delivered: Delivered = [[] for _ in range(routing.ranks)]
    for dst in range(routing.ranks):
        for src in range(routing.ranks):
            tokens = np.nonzero(routing.owner[src] == dst)[0]
            message = x[src][tokens]
            delivered[dst].append((tokens, message))
            sent[src] += 0.0 if src == dst else message.size * element_bytes
    return delivered, [round(s) for s in sent]


def deliver_copies(x: list[Array], routing: Routing, element_bytes: float) -> tuple[Delivered, list[int]]:
    """One copy per (token, node) to the relay, from there one copy per (token, rank): normal mode."""
    sent = [0.0] * routing.ranks
    delivered: Delivered = [[] for _ in range(routing.ranks)]
    for src in range(routing.ranks):
        for node in range(routing.ranks // routing.ranks_per_node):
            tokens = routing.tokens_for(src, routing.on_node(node))
            relay = routing.relay(src, node)
            buffer = x[src][tokens]
            sent[src] += 0.0 if relay == src else buffer.size * element_bytes
            for dst in routing.on_node(node):
                wanted = routing.tokens_for(src, range(dst, dst + 1))
                message = buffer[np.searchsorted(tokens, wanted)]
                sent[relay] += 0.0 if relay == dst else message.size * element_bytes
                delivered[dst].append((wanted, message))
    return delivered, [round(s) for s in sent]


def return_messages(
    rows: list[list[tuple[Array, Array, Array]]],
    weights: list[Array],
    shapes: list[tuple[int, int]],
    element_bytes: float,
) -> tuple[list[Array], list[int]]:
    """rows[dst][src] = (token, slot, row): each row goes back alone; the owner weights and sums."""
    ranks = len(rows)
    sent = [0.0] * ranks
    out = [np.zeros(s, dtype=rows[0][0][2].dtype) for s in shapes]
    for dst in range(ranks):
        for src in range(ranks):
            token, slot, message = rows[dst][src]
            sent[dst] += 0.0 if src == dst else message.size * element_bytes
            np.add.at(out[src], token, message * weights[src][token, slot][:, None])
    return out, [round(s) for s in sent]


def return_partial_sums(
    rows: list[list[tuple[Array, Array]]], shapes: list[tuple[int, int]], routing: Routing, element_bytes: float
) -> tuple[list[Array], list[int]]:
    """rows[dst][src] = (token, weighted row): summed per rank, then per node at the relay, then at the owner."""
    sent = [0.0] * routing.ranks
    out = []
    for src, shape in enumerate(shapes):
        total = np.zeros(shape, dtype=rows[0][0][1].dtype)
        for node in range(routing.ranks // routing.ranks_per_node):
            relay = routing.relay(src, node)
            partial = np.zeros_like(total)
            for dst in routing.on_node(node):
                token, weighted = rows[dst][src]
                mine = np.unique(token)
                message = np.zeros((len(mine), shape[1]), dtype=weighted.dtype)
                np.add.at(message, np.searchsorted(mine, token), weighted)
                sent[dst] += 0.0 if relay == dst else message.size * element_bytes
                partial[mine] += message
            tokens = routing.tokens_for(src, routing.on_node(node))
            sent[relay] += 0.0 if relay == src else len(tokens) * shape[1] * element_bytes
            total[tokens] += partial[tokens]
        out.append(total)
    return out, [round(s) for s in sent]
