"""Expected copies of a token: how many distinct ranks or domains its top-k experts fall on.

Free routing: k of E experts without replacement, E / R of them on each rank. Group-limited routing first keeps
``max_groups`` of ``groups`` expert groups. Groups are packed on ranks in order, so a group covers R / groups ranks
(or a share of one). Source: DeepSeek-V3 technical report, section 2.1.2 (node-limited routing).
"""

from __future__ import annotations

from math import lgamma

import numpy as np


def _log_comb(n: float, k: float) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def miss_probability(experts: float, here: float, topk: float) -> float:
    """Chance that none of ``topk`` distinct experts out of ``experts`` is among ``here`` of them (hypergeometric)."""
    if experts - here < topk:
        return 0.0
    return float(np.exp(_log_comb(experts - here, topk) - _log_comb(experts, topk)))


def expected_parts(parts: int, experts: int, topk: int, groups: int = 0, max_groups: int = 0) -> float:
    """Expected number of ``parts`` (ranks or domains holding equal shares of the experts) that a token reaches."""
    if parts <= 1:
        return 1.0
    experts, topk = max(experts, parts), min(topk, experts)
    if not groups or not max_groups or max_groups >= groups:
        return parts * (1.0 - miss_probability(experts, experts / parts, topk))
    per_group = experts / groups
    kept = min(max_groups, groups)
    if parts <= groups:  # a part holds whole groups
        held = groups / parts
        hit = 0.0
        for inside in range(1, int(min(held, kept)) + 1):
            log_p = _log_comb(held, inside) + _log_comb(groups - held, kept - inside) - _log_comb(groups, kept)
            if groups - held < kept - inside:
                continue
            hit += float(np.exp(log_p)) * (1.0 - miss_probability(kept * per_group, inside * per_group, topk))
        return parts * hit
    return parts * (kept / groups) * (1.0 - miss_probability(kept * per_group, experts / parts, topk))
