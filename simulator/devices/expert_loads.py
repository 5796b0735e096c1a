"""How many rows each expert of one expert-parallel rank gets, for the routing distributions that benchmarks publish.

T tokens over the whole expert-parallel group choose K of E experts each; a rank holds G = E / ep of them. A benchmark
measures the most loaded rank. Random rules are averaged over a few seeded draws that are shared by all T, so that the
result is the same every time and smooth in T.

Source: the routing rules published with aiconfigurator's collectors (ai-dynamo/aiconfigurator, collector/helper.py for
balanced and power_law_a, collector/sglang for uniform and power_law_sampled_a).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.ops.routing import inclusion

Array = npt.NDArray[np.float64]

DRAWS = 6
SEED = 20
GROUPS, KEPT_GROUPS = 8, 4  # DeepSeek-V3 gate
LIMITED_DRAWS, LIMITED_TOKENS = 3, 512
SAMPLED_LARGEST = 1024.0  # upper end of the weights of power_law_sampled_a


@dataclass(frozen=True, slots=True)
class Routing:
    """One routing situation.

    tokens: over all ranks. distribution: balanced, uniform, power_law_a, power_law_sampled_a. rule: what a power law does
    with rows that rounding leaves over. "level": rank by rank to the least loaded expert. "largest": to the fullest
    experts, lowest number first, which puts a batch of one or two tokens on one rank. "group_limited": as "largest" from
    rounded-down loads, then once more through a gate that keeps 4 of 8 expert groups per token (DeepSeek-V3's) and
    refills what it drops at random from the groups it keeps.
    """

    tokens: int
    experts: int
    topk: int
    ranks: int
    distribution: str
    rule: str = "level"

    @property
    def limited(self) -> bool:
        """Whether the gate's groups fit these experts and ranks."""
        return self.rule == "group_limited" and self.experts % GROUPS == 0 and self.experts % max(1, self.ranks) == 0

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
        return loads[:, : r.local_experts] if r.limited else _fullest_rank(loads, r)
    if r.distribution in ("balanced", ""):
        return _balanced(r)[None, : r.local_experts]
    if r.distribution in ("uniform", "random"):
        return _uniform(r)
    raise ValueError(
        f"unknown expert distribution {r.distribution!r}: balanced, uniform, power_law_A, power_law_sampled_A"
    )


def _bounded_power_law(u: Array, alpha: float, low: float, high: float) -> Array:
    """Inverse distribution function of a density proportional to x^-alpha on [low, high]."""
    if abs(alpha - 1.0) < 1e-9:
        return low * (high / low) ** u
    e = 1.0 - alpha
    return np.asarray((low**e + u * (high**e - low**e)) ** (1.0 / e))


def _power_law(r: Routing, alpha: float) -> Array:
    """Weights scaled to T K rows, rounded and cut at T; the rest goes rank by rank to the least loaded experts."""
    rng = np.random.default_rng(SEED)
    total = r.tokens * r.topk
    low, high = (1.0, max(0.8 * r.tokens, 1.0)) if total > r.experts else (0.01, 2.0)
    weight = _bounded_power_law(rng.random((DRAWS, r.experts)), alpha, low, high)
    exact = weight / weight.sum(axis=1, keepdims=True) * total
    if r.limited:
        return np.stack(
            [_group_limited(_fullest_first(c, r), r) for c in _first_experts(np.floor(exact), total)[:LIMITED_DRAWS]]
        )
    if r.rule == "largest":
        return _largest(np.round(exact), total)
    return _level(np.minimum(np.round(exact), r.tokens), total, r)


def _first_experts(loads: Array, total: int) -> Array:
    """What is left over goes once round to the largest, then to the experts of the lowest number."""
    left = total - loads.sum(axis=1)
    rank = np.argsort(np.argsort(-loads, axis=1, kind="stable"), axis=1)
    base, more = np.divmod(left, loads.shape[1])
    return np.asarray(loads + base[:, None] + (rank < more[:, None]), dtype=np.float64)


def _fullest_first(loads: Array, r: Routing) -> Array:
    """Loads with the fullest rank's experts swapped to the front."""
    ranks = loads.reshape(max(1, r.ranks), -1).copy()
    fullest = int(ranks.sum(axis=1).argmax())
    ranks[[0, fullest]] = ranks[[fullest, 0]]
    return ranks.ravel()


def _group_limited(loads: Array, r: Routing) -> Array:
    """Rows per expert after the group-limited gate, from evenly spaced sample tokens.

    Slot j of token t is entry t + j T of the list of experts repeated by their loads, fullest first.
    """
    tokens = np.unique(np.linspace(0, r.tokens - 1, min(r.tokens, LIMITED_TOKENS)).round())
    order = np.argsort(-loads, kind="stable")
    place = tokens[:, None] + np.arange(r.topk)[None, :] * r.tokens
    expert = order[np.minimum(np.searchsorted(np.cumsum(loads[order]), place, side="right"), r.experts - 1)]
    chosen = np.zeros((len(tokens), r.experts))
    np.put_along_axis(chosen, expert, 1.0, axis=1)
    width = r.experts // GROUPS
    hits = np.minimum(chosen.reshape(len(tokens), GROUPS, width).sum(axis=2), 2.0)
    kept = np.argsort(-hits, axis=1, kind="stable")[:, :KEPT_GROUPS]
    allowed = np.zeros((len(tokens), GROUPS))
    np.put_along_axis(allowed, kept, 1.0, axis=1)
    score = np.repeat(allowed, width, axis=1) * (1.0 + chosen)
    score = score + 0.5 * np.random.default_rng(SEED).random(score.shape)
    final = np.argsort(-score, axis=1, kind="stable")[:, : r.topk]
    return np.asarray(np.bincount(final.ravel(), minlength=r.experts) * (r.tokens / len(tokens)), dtype=np.float64)


def _largest(loads: Array, total: int) -> Array:
    """Left-over rows go to the fullest experts (lowest number first among equals), missing ones come from the emptiest."""
    left = total - loads.sum(axis=1)
    added = _first_experts(loads, total)
    taken = np.maximum(loads - (np.cumsum(loads > 0, axis=1) <= -left[:, None]), 0.0)
    return np.asarray(np.where(left[:, None] >= 0, added, taken), dtype=np.float64)


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
    need = ordered * count - np.cumsum(ordered, axis=1)  # what levels the first ``count`` entries
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
    """Expected rows when every token draws K different experts with power-law weights."""
    u = np.random.default_rng(SEED).random((DRAWS, r.experts))
    weight = _bounded_power_law(u, alpha, 1.0, SAMPLED_LARGEST)
    return r.tokens * inclusion(weight, r.topk)


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
    return np.asarray(np.maximum((r.tokens - 1 - first) // r.experts + 1, 0).sum(axis=1), dtype=np.float64)


def _uniform(r: Routing) -> Array:
    """Every expert the same whole number of rows; fewer choices than experts go one to an expert."""
    each = r.tokens * r.topk // r.experts
    if each:
        return np.full((1, r.local_experts), float(each))
    loads = np.zeros((1, r.local_experts))
    loads[0, : max(1, round(r.tokens * r.topk / max(1, r.ranks)))] = 1.0
    return loads
