"""Robust fit of calibrated figures: efficiencies of an architecture and values of kernels, as their YAML lists them.

Every figure of kind ``calibrated`` that a group of rows depends on is free; figures of any other kind stay as written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from simulator.profiles import Figure, KernelTable, figures_of
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernel_file import figures_in
from simulator.profiles.kernels import lineage
from simulator.validation.predict.gpu_rows import KernelRows

Array = npt.NDArray[np.float64]
Key = tuple[str, int]  # file and line of a figure

SCALE = 0.06  # log error from which a row counts linearly: what equal shapes differ by between sister devices
STARTS: tuple[dict[str, float], ...] = (
    {},
    {"step_latency": 8.0, "step_clocks": 3.0},
    {"step_latency": 0.1, "step_clocks": 0.3},
    {"tensor_share": 0.5},
)
STEP = 1e-3  # of the logarithm, for derivatives

# what a figure of this name may become; SI units, ratios as such
BOUNDS: dict[str, tuple[float, float]] = {
    "hbm_stream": (0.5, 0.98),
    "tensor_16bit": (0.4, 1.0),
    "tensor_8bit": (0.3, 1.0),
    "tensor_4bit": (0.2, 1.0),
    "operand_feed": (5.0, 400.0),
    "epilogue": (2.0, 300.0),
    "wave_start": (1e-9, 2e-6),
    "overlap_exponent": (1.2, 8.0),
    "l2_survival": (0.1, 1.0),
    "graph_node": (5e-7, 1e-5),
    "split_start": (2e-7, 8e-6),
    "launch_floor": (1e-7, 2e-3),
    "quantize_start": (1e-8, 5e-5),
    "quantize_rate": (0.2, 60.0),
    "step_latency": (1e-10, 3e-6),
    "tile_start": (1e-10, 5e-6),
    "tensor_share": (0.05, 1.0),
    "memory_share": (0.3, 1.1),
    "step_clocks": (1.0, 8000.0),
    "product_rate": (50.0, 16384.0),
    "row_passes": (1e-3, 30.0),
    "slot_passes": (1e-3, 30.0),
    "expert_start": (1e-10, 3e-6),
    "skipped_tile": (1.0, 20000.0),
    "route_start": (1e-7, 2e-3),
    "host_floor": (1e-5, 2e-3),
    "exchange_share": (0.1, 1.0),
}


# where a stack value stays when its rows say nothing about it, and the log-error a factor e away from it weighs as
TYPICAL: dict[str, float] = {
    "quantize_start": 3e-6,
    "quantize_rate": 4.0,
    "step_latency": 1e-7,
    "tile_start": 1e-7,
    "tensor_share": 0.8,
    "memory_share": 0.9,
    "row_passes": 1.0,
    "slot_passes": 0.2,
    "expert_start": 5e-8,
    "step_clocks": 180.0,
    "skipped_tile": 350.0,
    "exchange_share": 0.8,
}
PULL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A group of rows, their measured seconds, and the free figures it depends on by where they apply."""

    rows: KernelRows
    seconds: Array
    efficiencies: Mapping[str, Key]
    values: Mapping[str, Key]

    def depends_on(self) -> set[Key]:
        """Every free figure the rows depend on."""
        return {*self.efficiencies.values(), *self.values.values()}

    def predict(self, x: Mapping[Key, float]) -> Array:
        """Predicted seconds with the free figures at ``x``."""
        gpu, kernel = self.rows.gpu, self.rows.kernel()
        own = {name: x[key] for name, key in self.efficiencies.items() if key in x}
        gpu = replace(gpu, efficiencies=replace(gpu.efficiencies, **own))
        values = dict(kernel.values) | {name: x[key] for name, key in self.values.items() if key in x}
        return np.asarray(self.rows.cost(gpu, replace(kernel, values=values)).seconds, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Free:
    """A free figure: where it stands, its name and its present value."""

    key: Key
    figure: Figure
    name: str

    @property
    def hardware(self) -> bool:
        """True for an efficiency of an architecture, False for a value of a stack."""
        return "hardware_profiles" in Path(self.key[0]).parts


def samples(
    groups: Sequence[KernelRows], seconds: Array, keep: npt.NDArray[np.bool_]
) -> tuple[list[Sample], list[Free]]:
    """Samples of the rows marked ``keep`` with a measured time, and every free figure they touch."""
    free: dict[Key, Free] = {}
    found = []
    for group in groups:
        inside = keep[group.index] & np.isfinite(seconds[group.index])
        if not inside.any():
            continue
        efficiencies = _free_efficiencies(group.gpu, free)
        values = _free_values(group, free)
        found.append(Sample(_subset(group, inside), seconds[group.index][inside], efficiencies, values))
    return found, list(free.values())


def _subset(group: KernelRows, inside: npt.NDArray[np.bool_]) -> KernelRows:
    return group if inside.all() else group.take(np.flatnonzero(inside))


@lru_cache(maxsize=64)
def _gpu_figures(name: str) -> Mapping[str, Figure]:
    return figures_of(name)


def _free_efficiencies(gpu: Gpu, free: dict[Key, Free]) -> dict[str, Key]:
    found = {}
    for path, figure in _gpu_figures(gpu.name).items():
        name = path.removeprefix("efficiencies.")
        if name != path and figure.kind == "calibrated" and name in BOUNDS:
            key = (figure.file, figure.line)
            free.setdefault(key, Free(key, figure, name))
            found[name] = key
    return found


def _free_values(group: KernelRows, free: dict[Key, Free]) -> dict[str, Key]:
    found = {}
    for name, figure in value_figures(group.table, group.gpu.architecture, group.facts).items():
        if figure.kind == "calibrated" and name in BOUNDS:
            key = (figure.file, figure.line)
            free.setdefault(key, Free(key, figure, name))
            found[name] = key
    return found


def value_figures(table: KernelTable, architecture: str, facts: Mapping[str, str]) -> dict[str, Figure]:
    """Figure behind each value of the kernel that ``table.select`` would choose."""
    figures = figures_in(Path(table.file))
    number = next(i for i, entry in enumerate(table.entries) if entry.serves(facts))
    entry = table.entries[number]
    found = {name: figures[f"kernels.{number}.values.{name}"] for name in entry.values}
    for own in lineage(architecture):
        if own in entry.architectures:
            at = f"kernels.{number}.architectures.{own}.values"
            found |= {name: figures[f"{at}.{name}"] for name in entry.architectures[own].values}
    return found


def fit(batch: Sequence[Sample], free: Sequence[Free], rounds: int = 40) -> dict[Key, float]:
    """Values of ``free`` that minimise the soft-L1 loss of log(predicted / measured) over ``batch``."""
    used = [f for f in free if any(f.key in s.depends_on() for s in batch)]
    return _descend(batch, used, {f.key: f.figure.value for f in used}, rounds)


def search(
    batch: Sequence[Sample],
    free: Sequence[Free],
    rounds: int = 40,
    sweeps: int = 2,
    starts: Sequence[dict[str, float]] = STARTS,
) -> dict[Key, float]:
    """Like ``fit``, kernel by kernel from several starts and then alternating with the efficiencies.

    The k-step latency separates the basins (a latency-bound kernel and a bandwidth-bound one look alike at one shape).
    """
    best = {f.key: f.figure.value for f in free}
    soft = {f.key: f for f in free if not f.hardware}
    hard = [f for f in free if f.hardware]
    clusters = [
        ([batch[i] for i in members], [soft[k] for k in sorted(keys)])
        for members, keys in _clusters(batch, set(soft)).items()
        if keys
    ]
    for sweep in range(sweeps):
        for part, figures in clusters:
            best |= _best_start(part, figures, best, starts if sweep == 0 else starts[:1], rounds)
        if hard:
            best |= _descend(batch, hard, best, rounds)
    return best


def _best_start(
    part: Sequence[Sample],
    figures: Sequence[Free],
    now: Mapping[Key, float],
    starts: Sequence[dict[str, float]],
    rounds: int,
) -> dict[Key, float]:
    """The better of several descents of one kernel's values; each starts at ``now`` times its factors."""
    score, chosen = np.inf, dict(now)
    for factors in starts:
        start = dict(now) | {f.key: now[f.key] * factors.get(f.name, 1.0) for f in figures}
        found = _descend(part, figures, start, rounds)
        loss = sum(_loss(sample, found) for sample in part)
        if loss < score * 0.995:
            score, chosen = loss, found
    return {f.key: chosen[f.key] for f in figures}


def _clusters(batch: Sequence[Sample], keys: set[Key]) -> dict[tuple[int, ...], set[Key]]:
    """Samples joined by shared free values, and those values."""
    groups: list[tuple[set[int], set[Key]]] = []
    for i, sample in enumerate(batch):
        members, own = {i}, sample.depends_on() & keys
        for group in [g for g in groups if g[1] & own]:
            members |= group[0]
            own |= group[1]
            groups.remove(group)
        groups.append((members, own))
    return {tuple(sorted(m)): k for m, k in groups}


def _loss(sample: Sample, values: Mapping[Key, float]) -> float:
    error = np.log(sample.predict(values) / sample.seconds) / SCALE
    return float((np.sqrt(1.0 + error**2) - 1.0).sum())


def _descend(
    batch: Sequence[Sample], used: Sequence[Free], start: Mapping[Key, float], rounds: int
) -> dict[Key, float]:
    if not used:
        return dict(start)
    batch = [s for s in batch if any(f.key in s.depends_on() for f in used)]
    fixed = {k: v for k, v in start.items() if k not in {f.key for f in used}}
    low = np.log([BOUNDS[f.name][0] for f in used])
    high = np.log([BOUNDS[f.name][1] for f in used])
    first = np.clip(np.log([max(start[f.key], 1e-12) for f in used]), low + 1e-6, high - 1e-6)
    result = least_squares(
        _residuals(batch, used, fixed), first, _jacobian(batch, used, high, fixed), bounds=(low, high),
        loss="soft_l1", f_scale=SCALE, max_nfev=rounds,
    )  # fmt: skip
    return fixed | _values(used, result.x)


def _values(used: Sequence[Free], x: Array) -> dict[Key, float]:
    return {f.key: float(v) for f, v in zip(used, np.exp(x), strict=True)}


def _residuals(batch: Sequence[Sample], used: Sequence[Free], fixed: Mapping[Key, float]) -> Callable[[Array], Array]:
    def residuals(x: Array) -> Array:
        values = {**fixed, **_values(used, x)}
        rows = [np.log(s.predict(values) / s.seconds) for s in batch]
        return np.concatenate([*rows, _pulls(used, x)])

    return residuals


def _pulls(used: Sequence[Free], x: Array) -> Array:
    """Weak pull of stack values towards typical ones, one residual each."""
    return np.array(
        [PULL * (v - np.log(TYPICAL[f.name])) if f.name in TYPICAL else 0.0 for f, v in zip(used, x, strict=True)]
    )


def _jacobian(
    batch: Sequence[Sample], used: Sequence[Free], high: Array, fixed: Mapping[Key, float]
) -> Callable[[Array], Array]:
    """Forward differences; a figure is only re-evaluated on the samples that depend on it."""
    ends = np.cumsum([len(s.seconds) for s in batch])
    spans = [slice(end - len(s.seconds), end) for s, end in zip(batch, ends, strict=True)]
    touched = [[i for i, s in enumerate(batch) if f.key in s.depends_on()] for f in used]

    def jacobian(x: Array) -> Array:
        values = {**fixed, **_values(used, x)}
        base = [np.log(s.predict(values)) for s in batch]
        out = np.zeros((int(ends[-1]) + len(x), len(x)))
        for j, f in enumerate(used):
            out[int(ends[-1]) + j, j] = PULL if f.name in TYPICAL else 0.0
            step = STEP if x[j] + STEP < high[j] else -STEP
            moved = values | {f.key: float(np.exp(x[j] + step))}
            for i in touched[j]:
                out[spans[i], j] = (np.log(batch[i].predict(moved)) - base[i]) / step
        return out

    return jacobian


def errors(batch: Sequence[Sample], values: Mapping[Key, float]) -> list[Array]:
    """|predicted / measured - 1| of each sample."""
    return [np.abs(s.predict(values) / s.seconds - 1.0) for s in batch]
