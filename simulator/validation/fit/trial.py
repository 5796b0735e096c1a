"""Trial values of stack kernels, fabric tiers and GPU efficiencies: what a fit varies, without touching files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from simulator.profiles import KernelTable, kernel_file, search
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Entry
from simulator.profiles.system import System

Array: TypeAlias = npt.NDArray[np.float64]
LOSS_SCALE = 0.08  # log error beyond which a row counts linearly
STEP = 1e-3  # log step of the numeric derivative
TINY = 1e-12
FARTHEST = 20.0  # factor a value may move from its start


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One varied value.

    file: "runtime/family" of a kernel table, the device of a system's tiers, or the architecture of efficiencies.
    entry: number of the kernel entry (-1 otherwise). override: architecture of an override or tier name, else "".
    """

    file: str
    entry: int
    override: str
    name: str


@dataclass(slots=True, eq=False)
class Trial:
    """Values to use instead of the bundled ones."""

    values: Mapping[Key, float]
    _tables: dict[int, KernelTable] = field(default_factory=dict)

    def table(self, table: KernelTable) -> KernelTable:
        """``table`` with the trial values of its entries."""
        known = self._tables.get(id(table))
        if known is None:
            name = file_of(table)
            entries = tuple(self._entry(e, name, i) for i, e in enumerate(table.entries))
            known = self._tables[id(table)] = replace(table, entries=entries)
        return known

    def _entry(self, entry: Entry, file: str, number: int) -> Entry:
        def pick(values: Mapping[str, float], override: str) -> dict[str, float]:
            return {n: self.values.get(Key(file, number, override, n), v) for n, v in values.items()}

        own = {a: replace(o, values=pick(o.values, a)) for a, o in entry.architectures.items()}
        return replace(entry, values=pick(entry.values, ""), architectures=own)

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


def file_of(table: KernelTable) -> str:
    """ "runtime/family" of the file behind a table; a file that only extends another counts as that one."""
    first = next(iter(table.figures().values()), None)
    path = table.path if first is None else Path(first.file)
    return f"{path.parent.name}/{path.stem}"


def path_of(file: str) -> Path:
    """Bundled file of "runtime/family"."""
    return next(p for f in search.folders("runtime") if (p := f / f"{file}.yaml").is_file())


def fabric_of(system: System) -> str:
    """Name under which the tiers of ``system`` are varied: devices of one link generation share them."""
    return f"tiers/{system.scale_up.bandwidth:.0f}/{system.scale_up.reduces}"


def calibrated_keys(file: str) -> dict[Key, float]:
    """Every value of a kernel file whose kind is "calibrated"."""
    found = {}
    for path, figure in kernel_file.figures_in(path_of(file)).items():
        parts = path.split(".")
        if figure.kind != "calibrated" or parts[0] != "kernels":
            continue
        override = parts[3] if parts[2] == "architectures" else ""
        found[Key(file, int(parts[1]), override, parts[-1])] = figure.value
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Measured seconds of the rows of one case and how to predict them under a trial. weight: of each row."""

    predict: Callable[[Trial], Array]
    seconds: Array
    uses: frozenset[str] = frozenset()


def residuals(observed: Iterable[Observed], trial: Trial) -> Array:
    """log(predicted / measured) of every row."""
    parts = [np.log(np.maximum(o.predict(trial), TINY) / o.seconds) for o in observed]
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
    shares = np.array([k.name == "share" or k.name.endswith("_share") for k in keys])
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
