"""A grid over parameters: one graph per structural combination, all numeric axes at once inside it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.economics.money import usd_per_mtok
from simulator.models.step import StepShape
from simulator.ops.tensor import Number
from simulator.profiles.aliases import split_overrides
from simulator.profiles.errors import ProfileError, fail
from simulator.profiles.library import load_scenario
from simulator.profiles.scenario import Mixed, Phase, Prefill
from simulator.study.axes import RETARGETING, Axes, Axis, parse_axes
from simulator.study.chunks import chunk_steps, summed
from simulator.study.compare import expand
from simulator.study.deployment import Deployment, deploy
from simulator.study.memory_use import rank_bytes, usable_bytes
from simulator.study.node_cost import Machine
from simulator.study.phase_steps import chosen, chunk_forms, elapsed
from simulator.study.retarget import first_deployment
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


def _moved(name: str, target: str, overrides: Mapping[str, str]) -> Deployment:
    """``name`` on another device or system, as it is: a sweep says where the model does not fit, it does not add devices."""
    parts = split_overrides(overrides)
    return first_deployment(load_scenario(name, parts["scenario"]), expand([target])[0], parts)


def _points(name: str, axes: Axes, values: Mapping[Axis, str], overrides: dict[str, str]) -> list[Row]:
    target = next((v for a, v in values.items() if a.path in RETARGETING), "")
    changed = overrides | {a.path: v for a, v in values.items() if a.path not in RETARGETING}
    combinations = list(itertools.product(*(a.values for a in axes.vectorised)))
    labels = [{a.name: v for a, v in values.items()} for _ in combinations]
    for label, combination in zip(labels, combinations, strict=True):
        label |= {a.name: v for a, v in zip(axes.vectorised, combination, strict=True)}
    try:
        deployment = _moved(name, target, changed) if target else deploy(name, changed)
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
    columns: dict[str, Number | str | None] = {
        "device": deployment.device.name,
        "model": deployment.model.name,
        "num_devices": deployment.num_devices,
    }
    for phase in deployment.scenario.phases.named().values():
        columns |= phase_columns(deployment, phase, sizes, machine)
    return columns | {"cost_basis": deployment.prices.name}


def phase_columns(
    deployment: Deployment, phase: Phase, sizes: Mapping[str, np.ndarray], machine: Machine
) -> dict[str, Any]:
    """Row columns of one phase; ``sizes`` holds arrays by canonical path. Each point takes the faster form of attention."""
    if isinstance(phase, Mixed):
        whole = shape_of(deployment, phase)
    else:
        where = "phases.prefill" if isinstance(phase, Prefill) else "phases.decode"
        context = sizes.get("phases.prefill.isl" if isinstance(phase, Prefill) else "phases.decode.context")
        whole = shape_of(deployment, phase, sizes.get(f"{where}.batch"), context)
    if isinstance(phase, Prefill) and phase.chunk is not None:
        return _chunked_columns(deployment, phase, whole, phase.chunk, machine)
    forms = forms_of(deployment, phase, whole, machine)
    columns = [_step_columns(deployment, phase, step) for step in forms]
    best = np.argmin(np.stack(np.broadcast_arrays(*[np.asarray(s.seconds) for s in forms])), axis=0)
    return {
        name: None if columns[0][name] is None else np.choose(best, [np.asarray(c[name]) for c in columns])
        for name in columns[0]
    }


def _chunked_columns(
    deployment: Deployment, phase: Prefill, whole: StepShape, chunk: int, machine: Machine
) -> dict[str, Any]:
    """Columns of a prefill in chunks: all chunks of all points are costed at once."""
    cut = chunk_steps(whole.batch, whole.kv_len, phase.prefix_len, chunk)
    forms, best = chunk_forms(deployment, phase, machine, cut)
    seconds = elapsed(forms, best, cut)
    share = (seconds / summed(chosen(best, [f.seconds for f in forms]), cut))[cut.point]
    energies = [step_energy(f, deployment.device, deployment.ranks_per_device, share).total for f in forms]
    joules = summed(chosen(best, energies), cut)
    fits = rank_bytes(deployment, phase, whole, cut.shape) <= usable_bytes(deployment)
    columns = _columns_of(deployment, phase, whole, seconds, joules, np.asarray(fits))
    return columns | {"prefill_chunks": summed(1.0, cut).astype(np.int64)}


def _step_columns(deployment: Deployment, phase: Phase, step: Step) -> dict[str, Any]:
    energy = step_energy(step, deployment.device, deployment.ranks_per_device).total
    fits = np.asarray(rank_bytes(deployment, phase, step.shape, step.shape) <= usable_bytes(deployment))
    return _columns_of(deployment, phase, step.shape, step.seconds, energy, fits)


def _columns_of(
    deployment: Deployment, phase: Phase, shape: StepShape, seconds: Number, joules: Number, fits: np.ndarray
) -> dict[str, Any]:
    """seconds and joules (of one device) of the phase; shape: what an attention rank does in it."""
    dp, n = deployment.scenario.layout(phase).dp, deployment.num_devices
    if isinstance(phase, Mixed):
        return {"mixed_step_ms": seconds * 1e3, "mixed_fits": fits} | _mixed_rates(deployment, phase, seconds)
    tokens = _tokens(deployment, phase, shape) * dp
    rate = tokens / seconds / n
    price = usd_per_mtok(deployment.usd_per_device_hour, rate)
    if isinstance(phase, Prefill):
        return {
            "ttft_ms": seconds * 1e3,
            "input_tok_s_per_dev": rate,
            "usd_per_mtok_input": price,
            "j_per_input_tok": joules * n / tokens,
            "prefill_fits": fits,
        }
    return {
        "tpot_ms": seconds * np.asarray(shape.batch) * dp / tokens * 1e3,
        "output_tok_s_per_dev": rate,
        "usd_per_mtok_output": price,
        "j_per_output_tok": joules * n / tokens,
        "decode_fits": fits,
    }


def _mixed_rates(deployment: Deployment, phase: Mixed, seconds: Number) -> dict[str, Any]:
    """Tokens of a mixed step by kind, where no phase of its own says."""
    phases, per_device = deployment.scenario.phases, deployment.scenario.layout(phase).dp / deployment.num_devices
    found: dict[str, Any] = {}
    if phases.prefill is None:
        found["input_tok_s_per_dev"] = phase.prefill.new_tokens * per_device / seconds
    if phases.decode is None:
        found["tpot_ms"] = seconds / deployment.scenario.kept * 1e3
        found["output_tok_s_per_dev"] = phase.decode.batch * deployment.scenario.kept * per_device / seconds
    return found


def _tokens(deployment: Deployment, phase: Phase, shape: StepShape) -> Number:
    """Tokens one attention rank produces in the step."""
    if isinstance(phase, Prefill):
        return np.asarray(shape.tokens, dtype=np.float64)
    return np.asarray(shape.batch, dtype=np.float64) * deployment.scenario.kept


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
