"""Robust joint fit of architecture efficiencies and stack values over groups of measured attention kernels.

Every parameter is fitted as a logarithm between bounds; residuals are log(predicted / measured) under a soft-L1 loss,
with weak priors that keep a value near its neighbours' where few rows speak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.validation.fit.places import Key
from simulator.validation.predict.gpu_groups import Group

Floats = npt.NDArray[np.float64]
LOSS_SCALE = 0.08  # log error beyond which a row counts linearly
STEP = 1e-4  # log step of the numeric derivative
FLOOR = 1e-9  # seconds; keeps the logarithm finite


@dataclass(frozen=True, slots=True)
class Prior:
    """Bounds of a parameter in SI, and the log-normal prior around ``centre`` (spread inf = none)."""

    low: float
    high: float
    centre: float = 1.0
    spread: float = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A group on its GPU with its kernel, where its parameters live, and the measured seconds.

    places: (file, entry) of every kernel entry that serves the group; a shared value's key names only the first.
    """

    group: Group
    gpu: Gpu
    kernel: Kernel
    keys: Mapping[str, Key]
    efficiencies: Mapping[str, Key]
    seconds: Floats
    places: frozenset[tuple[str, int]] = frozenset()

    def predict(self, values: Mapping[Key, float]) -> Floats:
        """Seconds of each row with parameters from ``values`` where present."""
        eff = {n: values[k] for n, k in self.efficiencies.items() if k in values}
        gpu = replace(self.gpu, efficiencies=replace(self.gpu.efficiencies, **eff)) if eff else self.gpu
        own = {n: values[k] for n, k in self.keys.items() if k in values}
        kernel = replace(self.kernel, values={**self.kernel.values, **own})
        raw = np.asarray(self.group.seconds(gpu, kernel), dtype=np.float64)
        return np.maximum(np.broadcast_to(raw, self.seconds.shape), FLOOR)


@dataclass(slots=True)
class Fit:
    """Cases, the parameters to move with their priors, and the current logarithms."""

    cases: Sequence[Case]
    priors: Mapping[Key, Prior]
    start: Mapping[Key, float]
    keys: list[Key] = field(init=False)
    x: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.keys = sorted(self.priors)
        low, high = self.bounds()
        first = np.log([max(self.start.get(k, 1.0), 1e-12) for k in self.keys])
        self.x = np.clip(first, low + 1e-6, high - 1e-6)

    def bounds(self) -> tuple[Floats, Floats]:
        """Logarithms of the lower and upper bounds."""
        return (
            np.log([self.priors[k].low for k in self.keys]),
            np.log([self.priors[k].high for k in self.keys]),
        )

    def values(self) -> dict[Key, float]:
        """Current parameters."""
        return dict(zip(self.keys, np.exp(self.x).tolist(), strict=True))

    def run(self, evaluations: int = 20) -> None:
        """Minimises the soft-L1 loss from the current point."""
        centre = np.log([self.priors[k].centre for k in self.keys])
        weight = LOSS_SCALE / np.array([self.priors[k].spread for k in self.keys])
        measured = [np.log(c.seconds) for c in self.cases]

        def residuals(x: Floats) -> Floats:
            values = dict(zip(self.keys, np.exp(x).tolist(), strict=True))
            parts = [np.log(c.predict(values)) - m for c, m in zip(self.cases, measured, strict=True)]
            return np.concatenate([*parts, (x - centre) * weight])

        def jacobian(x: Floats) -> Floats:
            values = dict(zip(self.keys, np.exp(x).tolist(), strict=True))
            return np.vstack([*(self._slopes(case, values) for case in self.cases), np.diag(weight)])

        found = least_squares(
            residuals,
            self.x,
            jac=jacobian,
            bounds=self.bounds(),
            loss="soft_l1",
            f_scale=LOSS_SCALE,
            max_nfev=evaluations,
            ftol=1e-4,
        )
        self.x = np.asarray(found.x, dtype=np.float64)

    def _slopes(self, case: Case, values: Mapping[Key, float]) -> Floats:
        """Derivatives of a case's log times by every parameter; only its own are moved."""
        position = {k: i for i, k in enumerate(self.keys)}
        base = np.log(case.predict(values))
        block = np.zeros((len(base), len(self.keys)))
        for key in (*case.keys.values(), *case.efficiencies.values()):
            if key in position:
                moved = {**values, key: values[key] * float(np.exp(STEP))}
                block[:, position[key]] = (np.log(case.predict(moved)) - base) / STEP
        return block


def rows_per_key(cases: Sequence[Case]) -> dict[Key, int]:
    """Measured rows that inform each parameter."""
    counts: dict[Key, int] = {}
    for case in cases:
        for key in (*case.keys.values(), *case.efficiencies.values()):
            counts[key] = counts.get(key, 0) + len(case.seconds)
    return counts
