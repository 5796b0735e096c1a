"""A grid over parameters: one graph per structural combination, all numeric axes at once inside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.economics.money import usd_per_mtok
from simulator.ops.tensor import Number
from simulator.profiles.errors import ProfileError, fail
from simulator.profiles.scenario import Decode, Prefill
from simulator.study.axes import RETARGETING, Axes, Axis, parse_axes
from simulator.study.compare import first_deployment
from simulator.study.deployment import Deployment, deploy
from simulator.study.memory_use import rank_bytes, usable_bytes
from simulator.study.node_cost import Machine
from simulator.study.rows import Row
from simulator.study.step import Step, forms_of, shape_of, step_energy

__all__ = ["Grid", "parse_axes", "sweep", "sweep_grid"]


@dataclass(frozen=True, slots=True)
class Grid:
    """A swept scenario: its axes and one row per point, in the order of the axes (last axis fastest)."""

    scenario: str
    axes: Axes
    rows: tuple[Row, ...]


def sweep(scenario: str, axes: Mapping[str, str], overrides: Mapping[str, str] | None = None) -> Grid:
    """``scenario`` over the grid of ``axes``, written as on the command line ({"context": "1K..128K", "model": "a,b"})."""
    return sweep_grid(scenario, parse_axes(axes), overrides)


def sweep_grid(
    name: str,
    axes: Axes,
    overrides: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Grid:
    """Every point of the grid. ProfileError: bad axis values; a point that cannot run names its reason in ``error``."""
    rows: list[Row] = []
    for values in axes.structural_grid():
        label = ", ".join(f"{a.name}={v}" for a, v in values.items())
        if progress:
            progress(label)
        rows += _points(name, axes, values, dict(overrides or {}))
    return Grid(name, axes, tuple(_in_axis_order(rows, axes)))


def _points(name: str, axes: Axes, values: Mapping[Axis, str], overrides: dict[str, str]) -> list[Row]:
    target = next((v for a, v in values.items() if a.path in RETARGETING), "")
    changed = overrides | {a.path: v for a, v in values.items() if a.path not in RETARGETING}
    combinations = list(itertools.product(*(a.values for a in axes.vectorised)))
    labels = [{a.name: v for a, v in values.items()} for _ in combinations]
    for label, combination in zip(labels, combinations, strict=True):
        label |= {a.name: v for a, v in zip(axes.vectorised, combination, strict=True)}
    try:
        deployment = first_deployment(name, target, changed) if target else deploy(name, changed)
        columns = _columns(deployment, axes.vectorised, combinations)
    except ProfileError as error:
        if axes.structural_points == 1:
            raise
        return [{**label, "error": str(error.faults[0])} for label in labels]
    count = len(combinations)
    spread = {
        k: v if isinstance(v, str | None) else np.broadcast_to(np.asarray(v), (count,)) for k, v in columns.items()
    }
    return [
        {**label, **{k: (v[i].item() if isinstance(v, np.ndarray) else v) for k, v in spread.items()}}
        for i, label in enumerate(labels)
    ]


def _columns(
    deployment: Deployment, axes: tuple[Axis, ...], combinations: list[tuple[str, ...]]
) -> dict[str, Number | str | None]:
    sizes = {a.path: _integers(a, [c[i] for c in combinations]) for i, a in enumerate(axes)}
    machine = Machine(deployment.device, deployment.system, deployment.runtime.name)
    phases = deployment.scenario.phases
    columns: dict[str, Number | str | None] = {
        "device": deployment.device.name,
        "model": deployment.model.name,
        "num_devices": deployment.num_devices,
    }
    for phase in (phases.prefill, phases.decode):
        if phase is not None:
            columns |= phase_columns(deployment, phase, sizes, machine)
    return columns | {"cost_basis": deployment.prices.name}


def phase_columns(
    deployment: Deployment, phase: Prefill | Decode, sizes: Mapping[str, np.ndarray], machine: Machine
) -> dict[str, Any]:
    """Row columns of one phase; ``sizes`` holds arrays by canonical path. Each point takes the faster form of attention."""
    prefill = isinstance(phase, Prefill)
    where = "phases.prefill" if prefill else "phases.decode"
    batch = sizes.get(f"{where}.batch")
    context = sizes.get("phases.prefill.isl" if prefill else "phases.decode.context")
    forms = forms_of(deployment, phase, shape_of(deployment, phase, batch, context), machine)
    columns = [_step_columns(deployment, phase, step) for step in forms]
    best = np.argmin(np.stack(np.broadcast_arrays(*[np.asarray(s.seconds) for s in forms])), axis=0)
    return {
        name: None if columns[0][name] is None else np.choose(best, [np.asarray(c[name]) for c in columns])
        for name in columns[0]
    }


def _step_columns(deployment: Deployment, phase: Prefill | Decode, step: Step) -> dict[str, Any]:
    dp, n = deployment.scenario.layout(phase).dp, deployment.num_devices
    tokens = _tokens(deployment, phase, step) * dp
    rate = tokens / step.seconds / n
    energy = step_energy(step, deployment.device, deployment.ranks_per_device).total
    price = usd_per_mtok(deployment.usd_per_device_hour, rate)
    fits = np.asarray(rank_bytes(deployment, phase, step) <= usable_bytes(deployment))
    if isinstance(phase, Prefill):
        return {
            "ttft_ms": step.seconds * 1e3,
            "input_tok_s_per_dev": rate,
            "usd_per_mtok_input": price,
            "j_per_input_tok": energy * n / tokens,
            "prefill_fits": fits,
        }
    return {
        "tpot_ms": step.seconds * np.asarray(step.shape.batch) * dp / tokens * 1e3,
        "output_tok_s_per_dev": rate,
        "usd_per_mtok_output": price,
        "j_per_output_tok": energy * n / tokens,
        "decode_fits": fits,
    }


def _tokens(deployment: Deployment, phase: Prefill | Decode, step: Step) -> Number:
    """Tokens one attention rank produces in the step."""
    if isinstance(phase, Prefill):
        return np.asarray(step.shape.tokens, dtype=np.float64)
    speculative = deployment.scenario.speculative
    return np.asarray(step.shape.batch, dtype=np.float64) * (speculative.acceptance_length if speculative else 1.0)


def _integers(axis: Axis, values: list[str]) -> np.ndarray:
    wrong = next((v for v in values if not v.isdigit() or int(v) < 1), None)
    if wrong is not None:
        raise fail("--axis", 0, axis.name, "is not a whole number above 0", wrong)
    return np.array([int(v) for v in values], dtype=np.int64)


def _in_axis_order(rows: list[Row], axes: Axes) -> list[Row]:
    order = {a.name: {v: i for i, v in enumerate(a.values)} for a in axes.all}
    return sorted(rows, key=lambda r: tuple(order[a.name][r[a.name]] for a in axes.all))


def crossover(xs: np.ndarray, first: np.ndarray, second: np.ndarray) -> float | None:
    """Where ``second`` becomes smaller than ``first`` for good (linear between points, on a log axis); None if never.

    Source: piecewise log-linear interpolation of the sign change of second - first.
    """
    gap = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    above = np.nonzero(gap >= 0)[0]
    if len(above) == 0:
        return float(xs[0])
    i = int(above[-1])
    if i == len(gap) - 1:
        return None
    share = gap[i] / (gap[i] - gap[i + 1])
    low, high = np.log(float(xs[i])), np.log(float(xs[i + 1]))
    return float(np.exp(low + share * (high - low)))
