"""Where routed tokens go: chances of experts, expected numbers of distinct destinations, exact copy counts of a routing.

Experts lie contiguously: destination d (a rank or a node) holds experts [d n, (d + 1) n). No dependency on other ops
modules.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt


def _missed(pool: int, held: int, k: int) -> float:
    """Probability that k distinct draws out of ``pool`` avoid ``held`` of them."""
    return comb(pool - held, k) / comb(pool, k) if k <= pool else 0.0


def inclusion(weights: npt.NDArray[np.float64], topk: int, fastest: float = 1e6) -> npt.NDArray[np.float64]:
    """pi[..., E]: chance that each expert is among the ``topk`` different ones a token chooses by weight[..., E].

    Experts race with rates w_e, the first ``topk`` win: about pi_e = 1 - exp(-x w_e) with x such that the chances add up
    to topk. fastest: upper bound of x. Source: successive sampling (Rosen 1972, asymptotic inclusion probabilities).
    """
    low, high = np.full((*weights.shape[:-1], 1), 1e-12), np.full((*weights.shape[:-1], 1), fastest)
    for _ in range(80):
        middle = np.sqrt(low * high)
        short = (1.0 - np.exp(-middle * weights)).sum(axis=-1, keepdims=True) < min(topk, weights.shape[-1] - 1e-6)
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray(1.0 - np.exp(-low * weights))


@lru_cache(maxsize=4096)
def expected_destinations(experts: int, topk: int, destinations: int, n_group: int = 1, topk_group: int = 1) -> float:
    """Expected number of distinct destinations of one token, experts equally likely.

    With groups, ``topk_group`` of ``n_group`` are drawn first and the experts inside them. Source: hypergeometric
    occupancy; agrees with the Monte Carlo of operators.md c (EP32: 2.93 nodes, 6.58 GPUs).
    """
    held = experts // destinations
    if n_group <= 1 or topk_group >= n_group:
        return destinations * (1.0 - _missed(experts, held, topk))
    size = experts // n_group
    pool = size * topk_group
    if held <= size:  # a destination lies inside one group
        return destinations * topk_group / n_group * (1.0 - _missed(pool, held, topk))
    own = held // size  # whole groups on one destination
    total = comb(n_group, topk_group)
    hit = 0.0
    for j in range(1, min(own, topk_group) + 1):
        ways = comb(own, j) * comb(n_group - own, topk_group - j)
        hit += ways / total * (1.0 - _missed(pool, j * size, topk))
    return destinations * hit


def copies(indices: npt.NDArray[Any], experts: int, destinations: int) -> npt.NDArray[np.int64]:
    """Exact copies to each destination when a token is sent once to each distinct destination of indices[T, k]."""
    owner = indices // (experts // destinations)
    sent = np.zeros((len(indices), destinations), dtype=bool)
    np.put_along_axis(sent, owner.astype(np.int64), True, axis=1)
    return np.asarray(sent.sum(axis=0), dtype=np.int64)


def messages(indices: npt.NDArray[Any], experts: int, destinations: int) -> npt.NDArray[np.int64]:
    """Exact messages to each destination with one message per (token, expert)."""
    owner = (indices // (experts // destinations)).ravel()
    return np.bincount(owner, minlength=destinations).astype(np.int64)
