"""Trial values of stack kernels, fabric tiers and GPU efficiencies: what a fit varies, without touching files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from simulator.profiles import KernelTable
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Entry
from simulator.profiles.system import System
from simulator.validation.fit.places import Key, Slots, file_of, slots

Array: TypeAlias = npt.NDArray[np.float64]
LOSS_SCALE = 0.08  # log error beyond which a row counts linearly
STEP = 1e-3  # log step of the numeric derivative
TINY = 1e-12
FARTHEST = 20.0  # factor a value may move from its start


@dataclass(slots=True, eq=False)
class Trial:
    """Values to use instead of the bundled ones."""

    values: Mapping[Key, float]
    _tables: dict[int, KernelTable] = field(default_factory=dict)

    def table(self, table: KernelTable) -> KernelTable:
        """``table`` with the trial values of its entries."""
        known = self._tables.get(id(table))
        if known is None:
            keys = slots(file_of(table))
            entries = tuple(self._entry(e, keys, i) for i, e in enumerate(table.entries))
            known = self._tables[id(table)] = replace(table, entries=entries)
        return known

    def _entry(self, entry: Entry, keys: Slots, number: int) -> Entry:
        def pick(values: Mapping[str, float], override: str) -> dict[str, float]:
            return {n: self._value(keys.get((number, override, n)), v) for n, v in values.items()}

        own = {a: replace(o, values=pick(o.values, a)) for a, o in entry.architectures.items()}
        return replace(entry, values=pick(entry.values, ""), architectures=own)

    def _value(self, key: Key | None, present: float) -> float:
        return present if key is None else self.values.get(key, present)

    def system(self, system: System) -> System:
        """``system`` with trial start and hop latency of its tiers, shared by every system of one link generation."""
        tiers = {}
        for name, tier in system.tiers.items():
            start = self.values.get(Key(fabric_of(system), -1, name, "start"), tier.start)
            hop = self.values.get(Key(fabric_of(system), -1, name, "latency"), tier.latency)
            tiers[name] = replace(tier, start=start, latency=hop)
        return replace(system, tiers=tiers)

    def gpu(self, gpu: Gpu) -> Gpu:
        """``gpu`` with trial efficiencies."""
        own = ((k.name, v) for k, v in self.values.items() if k.entry < 0 and k.file == gpu.architecture)
        mine = dict(own)
        return replace(gpu, efficiencies=replace(gpu.efficiencies, **mine)) if mine else gpu


def fabric_of(system: System) -> str:
    """Name under which the tiers of ``system`` are varied: devices of one link generation share them."""
    return f"tiers/{system.scale_up.bandwidth:.0f}/{system.scale_up.reduces}"


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Measured seconds of the rows of one case and how to predict them under a trial. weight: of each row in a fit."""

    predict: Callable[[Trial], Array]
    seconds: Array
    uses: frozenset[str] = frozenset()
    weight: float = 1.0


def residuals(observed: Iterable[Observed], trial: Trial) -> Array:
    """log(predicted / measured) of every row, times the root of its weight."""
    parts = [np.log(np.maximum(o.predict(trial), TINY) / o.seconds) * np.sqrt(o.weight) for o in observed]
    return np.concatenate(parts) if parts else np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Residuals and their derivatives over the logarithms of ``keys``."""

    observed: list[Observed]
    keys: list[Key]

    def values(self, x: Array) -> dict[Key, float]:
        return dict(zip(self.keys, np.exp(x).tolist(), strict=True))

    def residuals(self, x: Array) -> Array:
        return residuals(self.observed, Trial(self.values(x)))

    def jacobian(self, x: Array) -> Array:
        sizes = np.cumsum([0] + [len(o.seconds) for o in self.observed])
        base, out = self.residuals(x), np.zeros((sizes[-1], len(self.keys)))
        for j, key in enumerate(self.keys):
            moved = x.copy()
            moved[j] += STEP
            trial = Trial(self.values(moved))
            for i, case in enumerate(self.observed):
                if not case.uses or key.file in case.uses:
                    rows = slice(sizes[i], sizes[i + 1])
                    out[rows, j] = (residuals([case], trial) - base[rows]) / STEP
        return out


def row_counts(observed: list[Observed], values: Mapping[Key, float]) -> dict[Key, int]:
    """How many rows react to each of ``values``."""
    keys = sorted(values)
    slopes = _Problem(observed, keys).jacobian(_starts(keys, values))
    return {k: int(np.count_nonzero(column)) for k, column in zip(keys, slopes.T, strict=True)}


def _starts(keys: list[Key], start: Mapping[Key, float]) -> Array:
    return np.log([max(start[k], TINY) for k in keys])


def fit(observed: list[Observed], start: Mapping[Key, float], *, evaluations: int = 12) -> dict[Key, float]:
    """Robust fit of the values in ``start`` as logarithms; a share stays below 1.

    Values that no row reacts to are left out of the answer.
    """
    every = sorted(start)
    slopes = _Problem(observed, every).jacobian(_starts(every, start))
    keys = [k for k, column in zip(every, slopes.T, strict=True) if np.any(column)]
    first = _starts(keys, start)
    shares = np.array([k.name.endswith("share") for k in keys])
    low = first - np.log(FARTHEST)
    high = np.log(np.where(shares, 1.0, FARTHEST * np.exp(first)))
    problem = _Problem(observed, keys)
    found = least_squares(
        problem.residuals,
        np.clip(first, low, high - STEP),
        jac=problem.jacobian,
        bounds=(low, high),
        loss="soft_l1",
        f_scale=LOSS_SCALE,
        max_nfev=evaluations,
        x_scale=0.1,
    )
    return problem.values(found.x)
