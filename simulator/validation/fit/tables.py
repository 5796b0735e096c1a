"""Fits whole measurement tables of TPU and Ascend devices and writes the figures back into the profiles."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from simulator.validation.fit.least_squares import Problem, fit, row_counts, seconds_of
from simulator.validation.fit.parameters import Parameter, efficiencies, kernel_values, write_back
from simulator.validation.predict.prediction import FloatArray
from simulator.validation.predict.table import MEASURED
from simulator.validation.predict.tpu_ascend import Group

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """Tables fitted together. efficiencies: names, per representative device of each architecture."""

    tables: tuple[str, ...]
    devices: tuple[str, ...]
    efficiencies: tuple[str, ...] = ()
    match: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Absolute relative errors of a stage's rows: before, after, and of rows left out of the fit (FOLDS-fold)."""

    table: pd.DataFrame
    before: FloatArray
    after: FloatArray
    held_out: FloatArray


def problem_of(
    stage: Stage, folder: Path, vendor: str, prefix: str, suspects: Sequence[str]
) -> tuple[Problem, pd.DataFrame]:
    """The stage's rows of one vendor as a fit problem, and the rows themselves."""
    groups, frames, offset = [], [], 0
    parameters: list[Parameter] = [p for d in stage.devices for p in efficiencies(d, stage.efficiencies)]
    for name in stage.tables:
        table = pd.read_csv(folder / "kernels" / f"{name}.csv", dtype=str, keep_default_na=False)
        table = table[table["device"].str.startswith(prefix) & table["op"].str.contains(stage.match)].reset_index(
            drop=True
        )
        module = importlib.import_module(f"simulator.validation.predict.{name}_tpu_ascend")
        inputs = table.drop(columns=[c for c in table.columns if c in MEASURED])
        for group in module.groups(inputs):
            groups.append(_shifted(group, offset))
        offset += len(table)
        frames.append(table.assign(family=name))
        parameters += kernel_values(name, vendor)
    rows = pd.concat(frames, ignore_index=True)
    measured = np.asarray(rows["us"].astype(float), dtype=np.float64) * 1e-6
    used = ~rows["id"].isin(list(suspects)).to_numpy()
    problem = Problem(groups, measured, used, parameters)
    counts = row_counts(problem)
    kept = [p for p in parameters if counts[p] > 0]
    return Problem(groups, measured, used, kept), rows


def calibrate(problem: Problem, rows: pd.DataFrame, *, write: bool, folds: int = FOLDS, seed: int = 0) -> Outcome:
    """Fit a stage, optionally write its figures, and judge it on rows left out."""
    present = {p: p.figure.value for p in problem.parameters}
    before = _errors(problem, seconds_of(problem, present))
    fitted = fit(problem)
    after = _errors(problem, seconds_of(problem, fitted))
    held_out = np.full(len(rows), np.nan)
    if folds > 1:
        fold = np.random.default_rng(seed).integers(folds, size=len(rows))
        for f in range(folds):
            left = fold == f
            part = fit(Problem(problem.groups, problem.measured, problem.used & ~left, problem.parameters), 8)
            held_out[left] = _errors(problem, seconds_of(problem, part))[left]
    if write:
        write_back(fitted, row_counts(problem))
    return Outcome(rows, before, after, held_out)


def _errors(problem: Problem, seconds: FloatArray) -> FloatArray:
    return np.asarray(np.abs(seconds / problem.measured - 1.0))


def _shifted(group: Group, offset: int) -> Group:
    return replace(group, index=group.index + offset)
