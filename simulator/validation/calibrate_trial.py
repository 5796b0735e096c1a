"""Fits through trial values (vector passes, collectives, expert exchanges) with rows held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from simulator.profiles import kernel_file
from simulator.profiles.figures import Figure
from simulator.validation.calibrate_result import FitResult, FittedFigure, Slot, Split, gathered, scored, with_unknown
from simulator.validation.fit.group_fit import Key as GroupKey
from simulator.validation.fit.trial import Key, Observed, Trial, fit, path_of

NUDGE = 1.2  # factor that shows whether a value touches a prediction
SAME = 1e-9

Groups = Callable[[pd.DataFrame], Iterable[tuple[Any, pd.DataFrame]]]


def fit_trial(
    family: str,
    rows: pd.DataFrame,
    split: Split,
    observed: Callable[[pd.DataFrame], list[Observed]],
    groups: Groups,
    start: Mapping[Key, float],
    evaluations: int,
) -> FitResult:
    """Fit the values of ``start`` that held rows depend on, on the other rows; predict the held rows.

    observed: cases of a table, one for each of ``groups`` in the same order.
    """
    mask = split.held(rows)
    held = rows[mask].reset_index(drop=True)
    test = observed(held)
    wanted = {k: _slot(k, v) for k, v in start.items() if _rows_touched(test, k, start)}
    train = observed(rows[~mask].reset_index(drop=True))
    counts = {k: n for k in wanted if (n := _rows_touched(train, k, start))}
    train = [case for case in train if any(_rows_touched([case], k, start) for k in counts)]
    fitted = fit(train, {k: start[k] for k in counts}, evaluations=evaluations) if counts else {}
    others = {k: _slot(k, v) for k, v in start.items()}
    values = with_unknown(fitted, wanted, others, lambda k: (k.file, k.entry), split.unknown)
    seen = {(k.file, k.entry) for k in fitted}
    unknown = [k for k in wanted if k.entry >= 0 and (k.file, k.entry) not in seen]
    parts = []
    for case, (_, group) in zip(test, groups(held), strict=True):
        known = not any(_rows_touched([case], k, start) for k in unknown)
        before, after = case.predict(Trial(start)), case.predict(Trial({**start, **values}))
        parts.append(scored(held.loc[group.index], family, case.seconds, before, after, known))
    return FitResult(gathered(parts), figures_of_keys(start, fitted, counts))


def _slot(key: Key, present: float) -> Slot:
    return Slot(key.name, present, key.file if key.entry < 0 else "")


def _rows_touched(cases: Sequence[Observed], key: Key, values: Mapping[Key, float]) -> int:
    """Rows of ``cases`` whose prediction depends on ``key``."""
    base, moved = Trial(values), Trial({**values, key: values[key] * NUDGE})
    rows = 0
    for case in cases:
        if case.uses and key.file not in case.uses:
            continue
        before, after = case.predict(base), case.predict(moved)
        if bool((np.abs(after / before - 1.0) > SAME).any()):
            rows += len(case.seconds)
    return rows


def figures_of_keys(
    start: Mapping[Any, float], fitted: Mapping[Any, float], counts: Mapping[Any, int]
) -> tuple[FittedFigure, ...]:
    """The figures behind fitted keys of trial and attention fits."""
    return tuple(
        FittedFigure(_file(k), _place(k), _unit(k), start[k], fitted[k], counts.get(k, 0)) for k in sorted(fitted)
    )


def _file(key: Key | GroupKey) -> str:
    return f"workloads/runtimes/{key.file}.yaml" if key.entry >= 0 else key.file


def _place(key: Key | GroupKey) -> str:
    if key.entry < 0:
        return f"tiers.{key.override}.{key.name}" if key.override else f"efficiencies.{key.name}"
    own = f"architectures.{key.override}." if key.override else ""
    return f"kernels.{key.entry}.{own}values.{key.name}"


def _unit(key: Key | GroupKey) -> str:
    if key.entry < 0:
        return "s" if key.override else ""
    figures: Mapping[str, Figure] = kernel_file.figures_in(path_of(key.file))
    return figures[_place(key)].unit
