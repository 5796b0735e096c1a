"""Numbering of simulated ranks and the members of each parallel group.

Ranks of a pipeline stage are numbered (dp, cp, tp) with tp fastest; the same ranks form the expert groups (ep, moe_tp)
with moe_tp fastest (see models.layout).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ORDERS = (("dp", "cp", "tp"), ("ep", "moe_tp"))  # slowest first


@dataclass(frozen=True)
class Ranks:
    """sizes: size of each parallel group; absent groups have one member."""

    sizes: Mapping[str, int]

    @property
    def count(self) -> int:
        """Ranks of one pipeline stage."""
        return self.size("dp") * self.size("cp") * self.size("tp")

    def size(self, group: str) -> int:
        """Members of a group."""
        return self.sizes.get(group, 1)

    def position(self, rank: int, group: str) -> int:
        """Place of ``rank`` inside its group. KeyError for an unknown group."""
        stride, size = self._axis(group)
        return rank // stride % size

    def members(self, group: str) -> list[list[int]]:
        """Every instance of a group, as ranks in group order."""
        stride, size = self._axis(group)
        first = [r for r in range(self.count) if r // stride % size == 0]
        return [[r + i * stride for i in range(size)] for r in first]

    def _axis(self, group: str) -> tuple[int, int]:
        for order in ORDERS:
            if group in order:
                stride = 1
                for faster in order[order.index(group) + 1 :]:
                    stride *= self.size(faster)
                return stride, self.size(group)
        raise KeyError(f"unknown parallel group {group!r}; known: {', '.join(g for o in ORDERS for g in o)}")
