"""Fits of the TPU and Ascend core models with rows held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simulator.validation.calibrate_result import FitResult, Slot, Split, fitted_figure, gathered, scored, with_unknown
from simulator.validation.fit import ascend, tpu
from simulator.validation.fit.least_squares import Problem, fit, row_counts, seconds_of
from simulator.validation.fit.parameters import chosen
from simulator.validation.fit.tables import Stage, problem_of
from simulator.validation.predict.tpu_ascend import BUNDLED, Group


def fit_tpu(folder: Path, split: Split, evaluations: int = 8) -> FitResult:
    """Every table of the TPU stages."""
    return _all(tpu.STAGES, folder, split, evaluations, ("google", "tpu", ()))


def fit_ascend(folder: Path, split: Split, evaluations: int = 8) -> FitResult:
    """Every table of the Ascend stages."""
    return _all(ascend.STAGES, folder, split, evaluations, ("huawei", "ascend", ascend.SUSPECT))


def _all(
    stages: Sequence[Stage], folder: Path, split: Split, evaluations: int, vendor: tuple[str, str, Sequence[str]]
) -> FitResult:
    results = []
    for stage in stages:
        present = tuple(t for t in stage.tables if (folder / "kernels" / f"{t}.csv").is_file())
        if present:
            results.append(_stage(replace(stage, tables=present), folder, split, evaluations, vendor))
    return FitResult(gathered(r.scores for r in results), tuple(f for r in results for f in r.figures))


def _stage(
    stage: Stage, folder: Path, split: Split, evaluations: int, vendor: tuple[str, str, Sequence[str]]
) -> FitResult:
    problem, rows = problem_of(stage, folder, *vendor)
    mask = split.held(rows)
    if not mask.any():
        return FitResult(gathered(()), ())
    whole = Problem(problem.groups, problem.measured, mask, problem.parameters)
    every = [p for p, n in row_counts(whole).items() if n]
    part = Problem(problem.groups, problem.measured, problem.used & ~mask, every)
    counts = {p: n for p, n in row_counts(part).items() if n}
    groups = [problem.groups[g] for g in sorted({g for touched in part.touches() for g in touched})]
    part = Problem(groups, part.measured, part.used, list(counts))
    fitted = fit(part, evaluations) if counts else {}
    slots = {p: Slot(p.name, p.figure.value, p.architecture if p.entry < 0 else "") for p in problem.parameters}
    wanted = {p: slots[p] for p in every}
    values = with_unknown(fitted, wanted, slots, lambda p: (p.family, p.entry), split.unknown)
    seen = {_entry(g) for g in problem.groups if part.used[g.index].any()}
    before, after = seconds_of(problem, {}), seconds_of(problem, values)
    parts = []
    for group in problem.groups:
        at = group.index[mask[group.index]]
        if len(at):
            family = str(rows["family"].iloc[at[0]])
            known = _entry(group) in seen
            parts.append(scored(rows.iloc[at], family, problem.measured[at], before[at], after[at], known))
    figures = [fitted_figure(p.figure, p.name, v, counts[p]) for p, v in fitted.items()]
    return FitResult(gathered(parts), tuple(figures))


def _entry(group: Group) -> tuple[str, int]:
    """Family and kernel entry that serve a group."""
    return group.family, chosen(group, BUNDLED.device(group.device, group.unit))[0]
