"""Fits of the TPU and Ascend core models with rows held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simulator.validation.calibrate_result import FitResult, Slot, Split, fitted_figure, gathered, scored, with_unknown
from simulator.validation.fit import ascend, tpu
from simulator.validation.fit.least_squares import Problem, fit, row_counts, seconds_of
from simulator.validation.fit.parameters import Parameter, entry_of
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
    slots = {p: Slot(p.name, p.figure.value, p.architecture) for p in problem.parameters}
    held = row_counts(replace(problem, used=mask))
    others = {p: n for p, n in row_counts(replace(problem, used=problem.used & ~mask)).items() if n}
    wanted = {p: slot for p, slot in slots.items() if held[p]}
    counts = {p: n for p, n in others.items() if p in wanted}
    part = replace(problem, used=problem.used & ~mask, parameters=list(counts))
    groups = [problem.groups[g] for g in sorted({g for touched in part.touches() for g in touched})]
    fitted = fit(replace(part, groups=groups), evaluations) if counts else {}
    values = with_unknown(fitted, wanted, slots, _place, split.unknown)
    before, after = seconds_of(problem, {}), seconds_of(problem, values)
    behind = _values_behind(problem)
    used = problem.used & ~mask
    seen = {_entry(g) for g in problem.groups if used[g.index].any()}
    parts = []
    for group, keys in zip(problem.groups, behind, strict=True):
        at = group.index[mask[group.index]]
        if len(at):
            # a value may serve several kernels: what counts is whether this one was seen
            places = dict.fromkeys(keys, _entry(group))
            family, known = str(rows["family"].iloc[at[0]]), split.knows(places, fitted, seen, places.__getitem__)
            parts.append(scored(rows.iloc[at], family, problem.measured[at], before[at], after[at], known))
    figures = [fitted_figure(p.figure, p.name, v, counts[p]) for p, v in fitted.items()]
    return FitResult(gathered(parts), tuple(figures))


def _values_behind(problem: Problem) -> list[set[Parameter]]:
    """Stack values that each group depends on."""
    found: list[set[Parameter]] = [set() for _ in problem.groups]
    for parameter, groups in zip(problem.parameters, problem.touches(), strict=True):
        for g in groups if parameter.family else ():
            found[g].add(parameter)
    return found


def _place(parameter: Parameter) -> tuple[str, int]:
    return parameter.figure.file, parameter.figure.line


def _entry(group: Group) -> tuple[str, int]:
    """Family and number of the kernel that serves a group."""
    return group.family, entry_of(group, BUNDLED.device(group.device, group.unit))
