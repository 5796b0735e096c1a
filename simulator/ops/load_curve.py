"""LoadCurve: how uneven the experts of an expert-parallel group are loaded, by the number of tokens routed together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops.tensor import Dim, Number


@dataclass(frozen=True, slots=True)
class LoadCurve:
    """Loads of one layer of experts, tabulated over the tokens that all ranks of the group route in a step.

    tokens: ascending. ranks, nodes: load of the busiest rank (node) over the mean. rows: (token, expert) rows of the
    busiest rank, ascending. active: experts of a rank that receive at least one token, on the rank where most do.
    spreads: standard deviation of the rows of the busiest rank's active experts over their mean.
    scattered: the experts of a gate's group lie on ranks of all nodes, so that its limit keeps no token from a node.
    label: what it describes. Between its points imbalances are power laws and the rest is linear in the logarithm of the
    tokens; beyond its ends the curve is constant.
    """

    tokens: tuple[float, ...]
    ranks: tuple[float, ...]
    nodes: tuple[float, ...]
    rows: tuple[float, ...]
    active: tuple[float, ...]
    spreads: tuple[float, ...]
    scattered: bool = False
    label: str = ""

    def imbalance(self, tokens: Dim) -> Number:
        """Load of the busiest rank over the mean when the group routes ``tokens`` tokens."""
        return _power_law(tokens, self.tokens, self.ranks)

    def node_imbalance(self, tokens: Dim) -> Number:
        """Load of the busiest node over the mean."""
        return _power_law(tokens, self.tokens, self.nodes)

    def active_experts(self, rows: Dim) -> Number:
        """Experts of a rank that receive at least one of the ``rows`` rows of the busiest rank."""
        return _linear(rows, self.rows, self.active)

    def spread(self, rows: Dim) -> Number:
        """Relative spread of the rows of the active experts when the busiest rank has ``rows``."""
        return _linear(rows, self.rows, self.spreads)


def _power_law(x: Dim, xs: tuple[float, ...], ys: tuple[float, ...]) -> Number:
    y = np.exp(_linear(x, xs, tuple(np.log(ys))))
    return y if np.ndim(y) else float(y)


def _linear(x: Dim, xs: tuple[float, ...], ys: tuple[float, ...]) -> Number:
    at = np.log(np.maximum(np.asarray(x, dtype=np.float64), xs[0]))
    y: Number = np.interp(at, np.log(xs), ys)
    return y if np.ndim(y) else float(y)
