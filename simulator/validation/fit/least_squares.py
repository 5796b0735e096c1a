"""Robust fit of TPU and Ascend parameters on measured rows: soft-L1 on the log error, weak priors.

Sparse derivatives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from simulator.validation.fit.parameters import Parameter, Trial, figures_behind
from simulator.validation.predict.prediction import FloatArray
from simulator.validation.predict.tpu_ascend import BUNDLED, Group

SCALE = 0.08  # log error beyond which a row counts linearly
PRIOR = 0.08  # weight of a parameter that sits one spread off its present value
STEP = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Groups of one table, measured seconds of its rows, which rows count, and the parameters to fit."""

    groups: Sequence[Group]
    measured: FloatArray
    used: np.ndarray
    parameters: Sequence[Parameter]

    def touches(self) -> list[list[int]]:
        """Groups that depend on each parameter."""
        found: list[list[int]] = [[] for _ in self.parameters]
        for g, group in enumerate(self.groups):
            device = BUNDLED.device(group.device, group.unit)
            behind = {(f.file, f.line) for f in figures_behind(group, device).values()}
            for number, p in enumerate(self.parameters):
                place = (p.figure.file, p.figure.line)
                if place in behind if p.family else p.architecture == device.architecture:
                    found[number].append(g)
        return found


def seconds_of(problem: Problem, values: Mapping[Parameter, float], which: Sequence[int] | None = None) -> FloatArray:
    """Predicted seconds; rows of groups not in ``which`` are NaN."""
    trial = Trial(values)
    result = np.full(len(problem.measured), np.nan)
    for number in range(len(problem.groups)) if which is None else which:
        group = problem.groups[number]
        device = trial.device(group.device, group.unit)
        result[group.index] = group.seconds(device, trial.kernel(group, device))
    return result


def fit(problem: Problem, evaluations: int = 15) -> dict[Parameter, float]:
    """Fitted value of every parameter."""
    parameters, touched = list(problem.parameters), problem.touches()
    start = np.array([np.log(p.figure.value) for p in parameters])
    upper = np.array([np.log(p.upper) for p in parameters])
    spread = np.array([p.spread for p in parameters])
    start = np.minimum(start, upper - 1e-3)

    def values_at(x: FloatArray) -> dict[Parameter, float]:
        return dict(zip(parameters, np.exp(x), strict=True))

    def errors(seconds: FloatArray) -> FloatArray:
        error = np.log(seconds / problem.measured)
        return np.where(problem.used & np.isfinite(error), _soft(error), 0.0)

    def residuals(x: FloatArray) -> FloatArray:
        return np.concatenate([errors(seconds_of(problem, values_at(x))), PRIOR * (x - start) / spread])

    def jacobian(x: FloatArray) -> FloatArray:
        base = errors(seconds_of(problem, values_at(x)))
        result = np.zeros((len(base) + len(x), len(x)))
        for j, groups in enumerate(touched):
            moved = x.copy()
            moved[j] += STEP
            rows = np.concatenate([problem.groups[g].index for g in groups]) if groups else np.zeros(0, dtype=int)
            changed = errors(seconds_of(problem, values_at(moved), groups))
            result[rows, j] = (changed[rows] - base[rows]) / STEP
            result[len(base) + j, j] = PRIOR / spread[j]
        return result

    found = least_squares(residuals, start, jac=jacobian, bounds=(-np.inf, upper), max_nfev=evaluations)
    return values_at(np.asarray(found.x, dtype=np.float64))


def _soft(error: FloatArray) -> FloatArray:
    return np.asarray(np.sign(error) * SCALE * np.sqrt(2.0 * (np.sqrt(1.0 + (error / SCALE) ** 2) - 1.0)))


def row_counts(problem: Problem) -> dict[Parameter, int]:
    """Rows behind each parameter."""
    counts = {}
    for parameter, groups in zip(problem.parameters, problem.touches(), strict=True):
        rows = [problem.groups[g].index for g in groups]
        counts[parameter] = int(problem.used[np.concatenate(rows)].sum()) if rows else 0
    return counts
