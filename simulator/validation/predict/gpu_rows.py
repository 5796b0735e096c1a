"""Rows of a measurement table that one kernel of one NVIDIA GPU serves, ready to be costed (or fitted)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.devices.cost import Cost
from simulator.profiles import Kernel, KernelTable, ProfileError, figures_of, load_device, load_kernels
from simulator.profiles.gpu import Gpu
from simulator.validation.predict.precision import Precision, precision_of
from simulator.validation.predict.prediction import Prediction, blank, supported, worst

Index = npt.NDArray[np.intp]


class Call(Protocol):
    """One call of a core model on all rows of a group."""

    def __call__(self, gpu: Gpu, kernel: Kernel) -> Cost:
        """Cost of the rows on ``gpu`` with ``kernel``."""

    def take(self, positions: Index) -> Call:
        """The call restricted to the rows at ``positions``."""


@dataclass(frozen=True, slots=True, eq=False)
class KernelRows:
    """Positions of rows served by one kernel, the facts that chose it, and the cost of all of them at once."""

    index: Index
    gpu: Gpu
    table: KernelTable
    facts: Mapping[str, str]
    cost: Call

    def take(self, positions: Index) -> KernelRows:
        """Only the rows at ``positions`` of this group."""
        return replace(self, index=self.index[positions], cost=self.cost.take(positions))

    def kernel(self) -> Kernel:
        """The kernel that serves these rows."""
        return self.table.select(self.gpu.architecture, **self.facts)


def column(rows: pd.DataFrame, name: str, default: str = "") -> pd.Series[str]:
    """A column as text, ``default`` where it is absent or blank."""
    if name not in rows:
        return pd.Series([default] * len(rows), index=rows.index, dtype=object)
    text = rows[name].astype(object).where(rows[name].notna(), "").astype(str).str.strip()
    return text.where(text != "", default)


def number(rows: pd.DataFrame, name: str, default: float = np.nan) -> npt.NDArray[np.float64]:
    """A column as floats, ``default`` where it is absent, blank or not a number."""
    if name not in rows:
        return np.full(len(rows), default)
    values = pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, default)


def runtime_name(fw: str) -> str:
    """Stack behind a framework column: its name without the version ("trtllm-1.3.0rc20" -> "trtllm")."""
    return fw.split("-")[0].strip().lower() or "trtllm"


def device_of(name: str) -> Gpu | None:
    """The NVIDIA GPU called ``name``, None for other vendors and unknown names."""
    try:
        found = load_device(name)
    except ProfileError:
        return None
    return found if isinstance(found, Gpu) else None


def table_of(fw: str, family: str) -> KernelTable:
    """Kernels of ``family`` in the stack that wrote ``fw``, or in its closest relative."""
    return load_kernels(runtime_name(fw), family, "nvidia")


Build = Callable[[Mapping[str, str], Index, Gpu, Precision], Call]


def kernel_groups(
    facts: pd.DataFrame, sizes: Mapping[str, npt.NDArray[np.float64]], family: str, build: Build
) -> tuple[list[KernelRows], dict[int, str]]:
    """(groups of rows with equal ``facts``, reason by position of a row that cannot be predicted).

    facts: text columns, among them device, fw and dtype; sizes: numbers every row needs; build: the call of one group.
    """
    sound = np.asarray(np.isfinite(np.stack(list(sizes.values()))).all(axis=0), dtype=np.bool_)
    names = [str(name) for name in facts]
    missing = f"{', '.join(sizes)} must be numbers"
    reasons = {int(i): missing for i in np.flatnonzero(~sound)}
    positions: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(zip(*(facts[name] for name in names), strict=True)):
        if sound[i]:
            positions.setdefault(row, []).append(i)
    found = []
    for row, members in sorted(positions.items()):
        one = dict(zip(names, row, strict=True))
        gpu, precision = device_of(one["device"]), precision_of(one["dtype"])
        if gpu is None or precision is None:
            what = f"device {one['device']!r}" if gpu is None else f"dtype {one['dtype']!r}"
            reasons.update((i, f"no {family} model for {what}") for i in members)
            continue
        index = np.array(members, dtype=np.intp)
        chosen = {name: value for name, value in one.items() if name not in ("device", "fw")}
        found.append(KernelRows(index, gpu, table_of(one["fw"], family), chosen, build(one, index, gpu, precision)))
    return found, reasons


def fidelity_of(group: KernelRows, kernel: Kernel) -> str:
    """How firm the rows of a group are: efficiencies of the generation, a unit for the format, a stack that was seen."""
    kind = figures_of(group.gpu)["efficiencies.hbm_stream"].kind
    generation = {"calibrated": "calibrated", "derived": "derived"}.get(kind, "estimated")
    precision = precision_of(group.facts["dtype"])
    has_unit = precision is not None and precision.rate in group.gpu.core.tensor_flop_per_clk
    known = has_unit and not kernel.substituted_for
    return worst(generation, "calibrated" if known else "estimated")


def predict_groups(count: int, groups: list[KernelRows], reasons: Mapping[int, str]) -> Prediction:
    """Predictions of ``count`` rows from their groups; ``reasons`` says why the others are unsupported."""
    result = blank(count)
    for position, reason in reasons.items():
        result.unsupported[position] = reason
    for group in groups:
        kernel = group.kernel()
        seconds = np.asarray(group.cost(group.gpu, kernel).seconds, dtype=np.float64)
        result.put(group.index, supported(seconds * 1e6, fidelity_of(group, kernel)))
    return result
