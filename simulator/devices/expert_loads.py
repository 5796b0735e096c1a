"""How many rows each expert of one expert-parallel rank gets, for the routing distributions that benchmarks publish.

T tokens over the whole expert-parallel group choose K of E experts each; a rank holds G = E / ep of them. A benchmark
measures the most loaded rank. Random rules are averaged over a few seeded draws that are shared by all T, so that the
result is the same every time and smooth in T.

Source: the routing rules of aiconfigurator's MoE collector (balanced, power_law_a) and of DeepGEMM's mega-MoE benchmark
(power_law_sampled_a); uniform = independent choices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DRAWS = 6
SEED = 20
SAMPLED_LARGEST = 1024.0  # upper end of the weights of power_law_sampled_a


@dataclass(frozen=True, slots=True)
class Routing:
    """One routing situation.

    tokens: over all ranks. distribution: balanced, uniform, power_law_a, power_law_sampled_a. left_over: where a power law
    puts what rounding leaves over: "level" (rank by rank, least loaded expert) or "first" (lowest expert numbers).
    """

    tokens: int
    experts: int
    topk: int
    ranks: int
    distribution: str
    left_over: str = "level"

    @property
    def local_experts(self) -> int:
        """Experts held by one rank (the fullest one when they do not divide)."""
        return max(1, -(-self.experts // max(1, self.ranks)))


def expert_loads(r: Routing) -> Array:
    """Rows per local expert of the most loaded rank; shape (draws, local experts), float because some are expectations.

    ValueError for an unknown distribution.
    """
    if r.tokens < 1 or r.topk < 1:
        return np.zeros((1, r.local_experts))
    law = re.fullmatch(r"power_law_(sampled_)?([0-9.]+)", r.distribution)
    if law is not None:
        alpha = float(law[2])
        loads = _sampled(r, alpha) if law[1] else _power_law(r, alpha)
        return _fullest_rank(loads, r)
    if r.distribution in ("balanced", ""):
        return _balanced(r)[None, : r.local_experts]
    if r.distribution in ("uniform", "random"):
        return _uniform(r)
    raise ValueError(f"unknown expert distribution {r.distribution!r}: balanced, uniform, power_law_A, power_law_sampled_A")


def _bounded_power_law(u: Array, alpha: float, low: float, high: float) -> Array:
    """Inverse distribution function of a density proportional to x^-alpha on [low, high]."""
    if abs(alpha - 1.0) < 1e-9:
        return low * (high / low) ** u
    e = 1.0 - alpha
    return np.asarray((low**e + u * (high**e - low**e)) ** (1.0 / e))


def _power_law(r: Routing, alpha: float) -> Array:
    """Weights scaled to T K rows, rounded and cut at T; what is left over goes rank by rank to the least loaded experts."""
    rng = np.random.default_rng(SEED)
    total = r.tokens * r.topk
    low, high = (1.0, max(0.8 * r.tokens, 1.0)) if total > r.experts else (0.01, 2.0)
    weight = _bounded_power_law(rng.random((DRAWS, r.experts)), alpha, low, high)
    exact = weight / weight.sum(axis=1, keepdims=True) * total
    if r.left_over == "first":
        return _first_experts(np.floor(exact), total)
    return _level(np.minimum(np.round(exact), r.tokens), total, r)


def _first_experts(loads: Array, total: int) -> Array:
    """What is left over goes once round to the largest, then to the experts of the lowest number."""
    left = total - loads.sum(axis=1)
    rank = np.argsort(np.argsort(-loads, axis=1, kind="stable"), axis=1)
    base, more = np.divmod(left, loads.shape[1])
    return np.asarray(loads + base[:, None] + (rank < more[:, None]))


def _level(loads: Array, total: int, r: Routing) -> Array:
    """Ranks in turn give one more row to their least loaded expert, or take one from their most loaded one."""
    ranks = max(1, r.ranks)
    if r.experts % ranks:
        ranks = 1
    left = total - loads.sum(axis=1)
    share, more = np.divmod(np.abs(left), ranks)
    each = share[:, None] + (np.arange(ranks)[None, :] < more[:, None])
    parts = loads.reshape(len(loads) * ranks, -1)
    sign = np.repeat(np.sign(left), ranks)[:, None]
    filled = _fill(sign * parts, each.ravel()) * np.where(sign == 0, 0.0, sign)
    return np.asarray(np.clip(np.where(sign == 0, parts, filled), 0.0, r.tokens).reshape(loads.shape))


def _fill(parts: Array, rows: Array) -> Array:
    """Raise the smallest entries of each row of ``parts`` by ``rows`` in total, one unit at a time."""
    order = np.argsort(parts, axis=1, kind="stable")
    ordered = np.take_along_axis(parts, order, axis=1)
    count = np.arange(1, parts.shape[1] + 1)
    need = ordered * count - np.cumsum(ordered, axis=1)  # units that bring the first ``count`` entries to the last one
    used = (need <= rows[:, None]).sum(axis=1)
    below = np.take_along_axis(np.cumsum(ordered, axis=1), used[:, None] - 1, axis=1)[:, 0]
    level, extra = np.divmod(below + rows, used)
    place = np.arange(parts.shape[1])[None, :]
    raised = level[:, None] + (place < extra[:, None])
    result = np.where(place < used[:, None], raised, ordered)
    out = np.empty_like(parts)
    np.put_along_axis(out, order, result, axis=1)
    return out


def _sampled(r: Routing, alpha: float) -> Array:
    """Expected rows when every token draws K different experts with power-law weights.

    The chance that expert e is among the K is 1 - exp(-x w_e) with x such that the chances add up to K (exponential clocks).
    """
    u = np.random.default_rng(SEED).random((DRAWS, r.experts))
    weight = _bounded_power_law(u, alpha, 1.0, SAMPLED_LARGEST)
    low, high = np.full((DRAWS, 1), 1e-12), np.full((DRAWS, 1), 1e6)
    for _ in range(80):
        middle = np.sqrt(low * high)
        short = (1.0 - np.exp(-middle * weight)).sum(axis=1, keepdims=True) < min(r.topk, r.experts - 1e-6)
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(r.tokens * (1.0 - np.exp(-low * weight)))


def _fullest_rank(loads: Array, r: Routing) -> Array:
    size, draws = r.local_experts, len(loads)
    padded = np.zeros((draws, size * max(1, r.ranks)))
    padded[:, : r.experts] = loads
    ranks = padded.reshape(draws, -1, size)
    return np.asarray(ranks[np.arange(draws), ranks.sum(axis=2).argmax(axis=1)])


def _balanced(r: Routing) -> Array:
    """Token t takes experts (t + i S) mod E, i < K, S = ceil(E / K); fewer tokens than S are spread over the stride."""
    stride = -(-r.experts // r.topk)
    starts = np.arange(r.topk) * stride
    if r.tokens < stride:
        token = np.floor(np.arange(r.tokens) * stride / r.tokens)
        chosen = ((token[:, None] + starts[None, :]) % r.experts).astype(np.int64)
        return np.bincount(chosen.ravel(), minlength=r.experts).astype(np.float64)
    first = (np.arange(r.experts)[:, None] - starts[None, :]) % r.experts
    return np.maximum((r.tokens - 1 - first) // r.experts + 1, 0).sum(axis=1).astype(np.float64)


def _uniform(r: Routing) -> Array:
    """Binomial rows per expert."""
    rng = np.random.default_rng(SEED)
    chance = min(1.0, r.topk / r.experts)
    return rng.binomial(r.tokens, chance, size=(DRAWS, r.local_experts)).astype(np.float64)
