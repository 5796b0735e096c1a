"""Expert loads of measurement rows, computed once per routing situation and kept for every tile height asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulator.devices.expert_loads import Routing, expert_loads
from simulator.devices.gpu import Loads

Array = npt.NDArray[np.float64]


@lru_cache(maxsize=20000)
def _loads(routing: Routing) -> Array:
    return expert_loads(routing)


@dataclass(frozen=True, slots=True, eq=False)
class RoutedRows:
    """Loads of one row of a table after another, averaged over the draws of its routing."""

    routings: tuple[Routing, ...]
    known: dict[float, Array] = field(default_factory=dict)

    def blocks(self, height: float) -> Array:
        """Row blocks of ``height`` over the local experts."""
        if height not in self.known:
            means = [float(np.ceil(_loads(r) / height).sum(axis=1).mean()) for r in self.routings]
            self.known[height] = np.array(means, dtype=np.float64)
        return self.known[height]

    def held(self) -> Loads:
        """Rows, active experts and blocks of the local experts."""
        rows = np.array([_loads(r).sum(axis=1).mean() for r in self.routings], dtype=np.float64)
        active = np.array([np.minimum(_loads(r), 1.0).sum(axis=1).mean() for r in self.routings], dtype=np.float64)
        return Loads(rows, active, self.blocks)

    def spread(self) -> Array:
        """K slots of every token that reaches the rank: T (1 - prod over local experts of (1 - load / T)) K."""
        return np.array([_spread(r) for r in self.routings], dtype=np.float64)

    def take(self, positions: npt.NDArray[np.intp]) -> RoutedRows:
        """The rows at ``positions``."""
        return RoutedRows(tuple(self.routings[int(i)] for i in positions))


def _spread(r: Routing) -> float:
    if r.tokens < 1:
        return 0.0
    missed = np.prod(1.0 - np.minimum(_loads(r) / r.tokens, 1.0), axis=1)
    return float(r.tokens * (1.0 - missed).mean() * r.topk)
