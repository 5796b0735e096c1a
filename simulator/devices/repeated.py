"""A sweep repeats itself: ten thousand scenarios may hold two hundred different products. Each is costed once.

Costs of scenarios are independent of each other, so the result is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np

from simulator.devices.cost import Cost
from simulator.ops.tensor import Number
from simulator.ops.work import Term

FEWEST = 64  # scenarios below which looking for repetitions costs more than it saves


def cost_of_distinct(term: Term, cost: Callable[[Term], Cost]) -> Cost:
    """``cost(term)``, with scenarios that agree in every array-valued field of the term evaluated once."""
    columns = {f.name: getattr(term, f.name) for f in fields(term)}
    columns = {name: np.asarray(value) for name, value in columns.items() if np.ndim(value)}
    sizes = {c.shape for c in columns.values() if c.size > 1}
    if len(sizes) != 1 or len(next(iter(sizes))) != 1 or next(iter(sizes))[0] < FEWEST:
        return cost(term)
    count = next(iter(sizes))[0]
    varied = {name: c for name, c in columns.items() if c.size == count}
    first, inverse = _distinct(list(varied.values()))
    if 2 * len(first) > count:
        return cost(term)
    small = cost(replace(term, **{name: c[first] for name, c in varied.items()}))

    def spread(values: Number) -> Number:
        return np.asarray(values)[inverse] if np.shape(values) == (len(first),) else values

    busy = {name: spread(v) for name, v in small.busy.items()}
    return Cost(spread(small.seconds), busy, {name: spread(v) for name, v in small.bytes.items()})


def _distinct(columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(first place of every distinct row, number of the distinct row of each scenario)."""
    _, first, code = np.unique(columns[0], return_index=True, return_inverse=True)
    for column in columns[1:]:
        if 2 * len(first) > len(code):
            break  # too many already; the caller costs every scenario
        values, place = np.unique(column, return_inverse=True)
        _, first, code = np.unique(code * len(values) + place, return_index=True, return_inverse=True)
    return first, code
