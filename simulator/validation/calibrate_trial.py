"""Fits through trial values (vector passes, collectives, expert exchanges) with rows held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from simulator.profiles import figures_of, list_names, load_system
from simulator.profiles.kernel_library import KIND_FOLDER
from simulator.profiles.system import System
from simulator.validation.calibrate_result import (
    FitResult,
    FittedFigure,
    Slot,
    Split,
    fitted_figure,
    gathered,
    scored,
    with_unknown,
)
from simulator.validation.fit.places import Key, figure_of
from simulator.validation.fit.trial import Observed, Trial, fabric_of, fit

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
    held, others = rows[mask].reset_index(drop=True), rows[~mask].reset_index(drop=True)
    test, train = observed(held), observed(others)
    in_test = _touched(test, start)
    wanted = {k: _slot(k, start[k]) for k in start if in_test[k]}
    in_train = _touched(train, start)
    counts = {k: n for k in wanted if (n := sum(len(train[i].seconds) for i in in_train[k]))}
    used = sorted({i for k in counts for i in in_train[k]})
    fitted = fit([train[i] for i in used], {k: start[k] for k in counts}, evaluations=evaluations) if counts else {}
    seen = {_place(k) for k, cases in in_train.items() if cases}
    lonely = [k for k in wanted if k.entry >= 0 and not split.knows([k], fitted, seen, _place)]
    alone = {i for k in lonely for i in in_test[k]}
    slots = {k: _slot(k, v) for k, v in start.items()}
    values = {**start, **with_unknown(fitted, wanted, slots, _place, split.unknown)}
    parts = []
    for i, (case, (_, group)) in enumerate(zip(test, groups(held), strict=True)):
        before, after = case.predict(Trial(start)), case.predict(Trial(values))
        parts.append(scored(held.loc[group.index], family, case.seconds, before, after, i not in alone))
    return FitResult(gathered(parts), figures_of_keys(start, fitted, counts))


def _place(key: Key) -> tuple[str, int]:
    """Kernel a figure belongs to; those of a library are one: its values differ by generation, not by kernel."""
    return key.file, 0 if key.file.startswith(KIND_FOLDER) else key.entry


def _slot(key: Key, present: float) -> Slot:
    return Slot(key.name, present, key.file if key.entry < 0 else "")


def _touched(cases: Sequence[Observed], values: Mapping[Key, float]) -> dict[Key, list[int]]:
    """Positions of the cases whose prediction depends on each of ``values``."""
    base = [case.predict(Trial(values)) for case in cases]
    found: dict[Key, list[int]] = {}
    for key, value in values.items():
        moved = Trial({**values, key: value * NUDGE})
        near = [i for i, case in enumerate(cases) if not case.uses or key.file in case.uses]
        found[key] = [i for i in near if bool((np.abs(cases[i].predict(moved) / base[i] - 1.0) > SAME).any())]
    return found


def figures_of_keys(
    start: Mapping[Any, float], fitted: Mapping[Any, float], counts: Mapping[Any, int]
) -> tuple[FittedFigure, ...]:
    """The figures behind fitted keys of trial and attention fits."""
    return tuple(_figure(k, start[k], fitted[k], counts.get(k, 0)) for k in sorted(fitted))


def _figure(key: Key, before: float, value: float, rows: int) -> FittedFigure:
    if key.entry < 0 and key.override:  # start or hop latency of a tier, shared by the systems of one link generation
        place = f"tiers.{key.override}.{key.name}"
        return FittedFigure(figures_of(_system_of(key))[place].file, place, "s", before, value, rows)
    return fitted_figure(replace(figure_of(key), value=before), key.name, value, rows)


@lru_cache(maxsize=32)
def _system_of(key: Key) -> System:
    systems = (load_system(name) for name in list_names("system"))
    return next(s for s in systems if s.vendor == "nvidia" and key.override in s.tiers and fabric_of(s) == key.file)
