"""How uneven a step loads the ranks of an expert-parallel group: popularity of experts, their placement, chance.

A token chooses K different experts of E; pi_e is the probability that e is among them, sum pi = K. A slot with 1 / c of
an expert's tokens has p = pi / c. The load of a rank after T tokens has the mean T sum p and, choices of one token
excluding each other, the covariance T (diag c - c c^T / sum c) over the ranks, c = sum of p (1 - p) (conditional
Poisson sampling: Hajek 1964). Its quantiles are those of a normal plus the first term in skewness (Cornish-Fisher). The
busiest rank is averaged over seeded draws that all T share, so that results repeat and are smooth in T.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulator.models.expert_placement import Floats, Slots, contiguous, replicated
from simulator.ops.load_curve import LoadCurve
from simulator.ops.routing import inclusion

DRAWS = 64
SMALLEST, LARGEST, POINTS = 1.0, 2.0**26, 53  # tokens of a group: two points per doubling


@dataclass(frozen=True, slots=True)
class Experts:
    """Experts of a layer and the group that holds them.

    experts, topk: of the model. n_group, topk_group: the gate keeps topk_group of n_group groups (1, 1: free). ranks,
    nodes: of the expert-parallel group. redundant: slots beside the logical experts.
    """

    experts: int
    topk: int
    n_group: int = 1
    topk_group: int = 1
    ranks: int = 1
    nodes: int = 1
    redundant: int = 0


@dataclass(frozen=True, slots=True)
class Popularity:
    """How often experts are chosen: uniform, zipf (weights i^-exponent, shuffled by ``seed``) or given ``loads``."""

    distribution: str = "uniform"
    exponent: float = 1.0
    loads: tuple[float, ...] = ()
    seed: int = 0

    def chosen(self, experts: int, topk: int) -> Floats:
        """pi[E], the probability that a token chooses each expert, in order of rank (zipf) or of the checkpoint.

        ValueError: an unknown distribution, or loads that no choice of ``topk`` different experts gives.
        """
        if self.distribution == "uniform" or (self.distribution == "zipf" and self.exponent == 0):
            return np.full(experts, topk / experts)
        if self.distribution == "zipf":
            weights = np.arange(1, experts + 1, dtype=np.float64) ** -self.exponent
            return inclusion(weights, topk, 1e6 / float(weights[min(topk, experts) - 1]))
        if self.distribution != "loads":
            raise ValueError(f"unknown distribution {self.distribution!r}: uniform, zipf, loads")
        loads = np.asarray(self.loads, dtype=np.float64)
        found = loads / loads.sum() * topk
        if len(loads) != experts or (found > 1 + 1e-9).any():
            raise ValueError(f"{len(loads)} loads do not fit {experts} experts of which a token chooses {topk}")
        return np.asarray(np.minimum(found, 1.0), dtype=np.float64)

    def draws(self, experts: int, topk: int) -> Floats:
        """pi[DRAWS, E]: zipf ranks are dealt to the experts anew in each draw (layers differ in their hot experts)."""
        rng = np.random.default_rng(self.seed)
        chosen = np.broadcast_to(self.chosen(experts, topk), (DRAWS, experts))
        shuffled = rng.permuted(chosen, axis=1) if self.distribution == "zipf" else chosen
        return np.asarray(shuffled, dtype=np.float64)


def place(chosen: Floats, e: Experts, placement: str) -> Slots:
    """Slots of a layer. placement: contiguous, replicated, or auto (replicated where there are redundant experts).

    ValueError: an unknown placement, or slots that do not divide over the ranks.
    """
    if placement not in ("auto", "contiguous", "replicated"):
        raise ValueError(f"unknown placement {placement!r}: auto, contiguous, replicated")
    if (e.experts + e.redundant) % e.ranks:
        raise ValueError(f"{e.experts + e.redundant} expert slots do not divide over {e.ranks} ranks")
    if placement == "replicated" or (placement == "auto" and e.redundant):
        return replicated(chosen, e.redundant, e.ranks, e.n_group, e.nodes)
    return contiguous(e.experts, e.redundant)


@lru_cache(maxsize=128)
def load_curve(e: Experts, popularity: Popularity, placement: str = "auto", label: str = "") -> LoadCurve:
    """Imbalance and active experts over the number of tokens that the group routes together."""
    chosen = popularity.draws(e.experts, e.topk)
    alike = bool((chosen == chosen[0]).all())
    slots = np.stack([place(c, e, placement) for c in (chosen[:1] if alike else chosen)])
    slots = np.broadcast_to(slots, (DRAWS, slots.shape[1]))
    copies = np.stack([np.bincount(s, minlength=e.experts) for s in slots])
    share = np.take_along_axis(chosen / copies, slots, axis=1)
    tokens = np.geomspace(SMALLEST, LARGEST, POINTS)
    rng = np.random.default_rng([popularity.seed, 1])
    in_order = not e.redundant and placement != "replicated"
    on_nodes = placement == "contiguous" or in_order or (e.n_group % e.nodes == 0 and e.ranks % e.nodes == 0)
    ranks = fullest(share, e.ranks, tokens, e.topk, rng, spread(e, e.ranks) if in_order else 1.0)
    nodes = fullest(share, e.nodes, tokens, e.topk, rng, spread(e, e.nodes) if on_nodes else 1.0)
    rows = np.maximum.accumulate(tokens * e.topk / e.ranks * ranks)
    hit = active_slots(share, e.ranks, tokens)
    columns = (tokens, ranks, nodes, rows, hit.max(axis=2).mean(axis=1), slot_spread(share, hit, tokens))
    at, by_rank, by_node, most, active, spreads = map(_points, columns)
    return LoadCurve(at, by_rank, by_node, most, active, spreads, not on_nodes, label)


def _points(values: Floats) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def fullest(
    share: Floats, parts: int, tokens: Floats, topk: int, rng: np.random.Generator, widen: float = 1.0
) -> Floats:
    """Load of the busiest of ``parts`` (ranks or nodes) over the mean, for each of ``tokens``; at least 1.

    share: p[draws, slots]. widen: factor on the variance (group-limited gates). At least one row lies somewhere, and a
    token brings a part no more rows than it has choices and the part slots.
    """
    if parts <= 1 or share.shape[1] % parts:
        return np.ones(len(tokens))
    p = share.reshape(len(share), parts, -1)
    mean, var = p.sum(axis=2), (p * (1 - p)).sum(axis=2)
    z = rng.standard_normal(mean.shape)
    total = np.maximum(var.sum(axis=1, keepdims=True), 1e-300)
    chance = np.sqrt(var) * z
    chance = (chance - var / total * chance.sum(axis=1, keepdims=True)) * np.sqrt(widen)
    skew = (p * (1 - p) * (1 - 2 * p)).sum(axis=2) / np.maximum(6 * var, 1e-300) * (z**2 - 1)
    t = tokens[:, None, None]
    rows = (t * mean + np.sqrt(t) * chance + skew).max(axis=2)
    even = tokens[:, None] * topk / parts
    most = tokens[:, None] * min(topk, p.shape[2])
    found: Floats = (np.clip(rows, np.maximum(even, 1.0), np.maximum(most, even)) / even).mean(axis=1)
    return found


def active_slots(share: Floats, ranks: int, tokens: Floats) -> Floats:
    """Expected slots with at least one of ``tokens`` tokens: (tokens, draws, ranks) from p[draws, slots]."""
    missed = np.log1p(-np.minimum(share, 1 - 1e-15))
    hit = -np.expm1(tokens[:, None, None] * missed[None])
    return np.asarray(hit.reshape(len(tokens), len(share), ranks, -1).sum(axis=3), dtype=np.float64)


def slot_spread(share: Floats, hit: Floats, tokens: Floats) -> Floats:
    """Standard deviation of the rows of active slots over their mean, on the rank with the most load: shape (tokens,).

    Mean and second moment over the slots of binomial rows (mean T p, variance T p (1 - p)), given at least one.
    """
    draws, ranks = np.arange(len(share)), hit.shape[2]
    p = share.reshape(len(share), ranks, -1)
    busiest = p.sum(axis=2).argmax(axis=1)
    p, active, t = p[draws, busiest], hit[:, draws, busiest], tokens[:, None]
    mean = t * p.sum(axis=1) / active
    square = (t**2 * (p**2).sum(axis=1) + t * (p * (1 - p)).sum(axis=1)) / active
    found: Floats = np.sqrt(np.maximum(square / mean**2 - 1, 0.0)).mean(axis=1)
    return found


def spread(e: Experts, parts: int) -> float:
    """Variance of a part's rows per token under the gate's group limit over that of free choice, experts in order.

    Two experts of one group are chosen together with probability K/G k (k - 1) / (M (M - 1)), two of different groups
    with K (K - 1) / (G (G - 1)) times the same, M = E K / G experts of K kept groups out of G (draws without
    replacement).
    """
    free = e.n_group <= 1 or e.topk_group >= e.n_group
    if free or parts <= 1 or e.experts % parts or e.experts % e.n_group:
        return 1.0
    held, size, kept, k = e.experts // parts, e.experts // e.n_group, e.topk_group, e.topk
    pool = size * kept
    if (held % size if held > size else size % held) or pool < max(2, k):
        return 1.0
    mean, together = held * k / e.experts, k * (k - 1) / (pool * (pool - 1))
    same = held * (min(held, size) - 1) * kept / e.n_group * together
    other = held * (held - min(held, size)) * kept * (kept - 1) / (e.n_group * (e.n_group - 1)) * together
    limited = mean + same + other - mean**2
    alone = mean + held * (held - 1) * k * (k - 1) / (e.experts * (e.experts - 1)) - mean**2
    return limited / alone if alone > 0 else 1.0
