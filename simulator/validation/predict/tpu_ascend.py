"""Rows of measurement tables that one kernel of one TPU or Ascend device serves, and their prediction.

A family module turns rows into ``Group`` objects; prediction costs each group on the bundled profiles, calibration
costs the same groups on trial values (``Hardware``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.devices.tpu.hardware import one_core
from simulator.profiles import Kernel, ProfileError, figures_of, load_device, load_kernels
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Trait, canonical_runtime
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import column
from simulator.validation.predict.prediction import FloatArray, Prediction, blank, supported, worst
from simulator.validation.predict.stacks import runtime_of

Device: TypeAlias = Tpu | Ascend
Seconds: TypeAlias = Callable[[Device, Kernel], FloatArray]
REFERENCE = {"google": "jax", "huawei": "cann"}
DATASHEET = ("core.aic", "core.tensorcores", "memory.bandwidth")
"""Figures without which a prediction is an estimate."""
TELLING: Mapping[str, tuple[str, ...]] = {
    "elementwise": ("vector", "vector_l2"),
    "attention": ("score_ops",),
    "mla": ("score_ops",),
    "dsa": ("sparse_gather", "gather_row"),
    "sparse_gather": ("sparse_gather", "vector_l2"),
    "memcpy": ("hbm_copy", "vector_l2"),
}
"""Family -> the efficiency (of a TPU, of an Ascend device) whose kind says how firm it is; else the first one."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows (positions ``index``) of one device and kernel; ``seconds`` costs them all in one call.

    stack: name of the software stack without its version. facts: what the vendor's kernel table is asked with.
    traits: choices spelled out in the kernel's name (block sizes).
    """

    index: npt.NDArray[np.intp]
    device: str
    unit: str
    stack: str
    family: str
    facts: Mapping[str, str]
    seconds: Seconds
    traits: Mapping[str, Trait] = field(default_factory=dict)
    fidelity: str = "calibrated"


class Hardware:
    """Devices and kernels as the bundled files describe them; calibration overrides both methods."""

    def device(self, name: str, unit: str) -> Device:
        """The profile behind a row: the chip, die or card, or one core-device of a TPU chip. TypeError for a GPU."""
        found = load_device(name)
        if isinstance(found, Tpu):
            return one_core(found) if unit == "core" else found
        if isinstance(found, Ascend):
            return found
        raise TypeError(f"{name} is neither a TPU nor an Ascend device")

    def kernel(self, group: Group, device: Device) -> Kernel:
        """The kernel of the group's stack that serves its facts."""
        reference = REFERENCE[device.vendor]
        table = load_kernels(reference, group.family, device.vendor)
        kernel = table.select(device.architecture, fw=group.stack, **group.facts)
        foreign = "" if canonical_runtime(group.stack or reference) == reference else group.stack
        return replace(kernel, traits={**kernel.traits, **group.traits}, substituted_for=foreign)


BUNDLED = Hardware()


def classes(rows: pd.DataFrame, *columns: str) -> Iterator[tuple[dict[str, str], npt.NDArray[np.intp], pd.DataFrame]]:
    """Rows that agree on ``columns`` (blank where absent): (the columns' text, positions, the rows)."""
    keys = pd.DataFrame({c: column(rows, c).to_numpy() for c in columns})
    for key, index in keys.groupby(list(columns), sort=False).indices.items():
        values = key if isinstance(key, tuple) else (key,)
        positions = np.asarray(index, dtype=np.intp)
        yield dict(zip(columns, map(str, values), strict=True)), positions, rows.iloc[positions]


def stack_of(fw: str) -> str:
    """Stack behind a ``fw`` column: the name without its version, "-" as "_"."""
    return runtime_of(fw).replace("-", "_")


def fidelity_of(group: Group, device: Device, kernel: Kernel) -> str:
    """Weakest of: the generation's efficiencies, the datasheet, the stack standing in, and what the family says."""
    figures = figures_of(group.device)
    first = next((path for path in figures if path.startswith("efficiencies.")), "")
    telling = next((p for p in TELLING.get(group.family, ()) if f"efficiencies.{p}" in figures), "")
    paths = (f"efficiencies.{telling}" if telling else first, *DATASHEET)
    guessed = any(figures[p].kind == "estimated" for p in paths if p in figures)
    stack = "derived" if kernel.substituted_for else "calibrated"
    return worst("estimated" if guessed else "calibrated", stack, group.fidelity)


def predict_groups(groups: Iterable[Group], count: int, hardware: Hardware = BUNDLED) -> Prediction:
    """Prediction of ``count`` rows from their groups; rows in no group stay unsupported."""
    result = blank(count, "no model for this operator on TPU or Ascend")
    for group in groups:
        try:
            device = hardware.device(group.device, group.unit)
            kernel = hardware.kernel(group, device)
        except (ProfileError, TypeError) as error:
            reason = str(error).splitlines()[0]
            size = len(group.index)
            result.put(group.index, Prediction(np.full(size, np.nan), [reason] * size, [""] * size))
            continue
        seconds = np.asarray(group.seconds(device, kernel), dtype=np.float64)
        us = np.broadcast_to(seconds * 1e6, group.index.shape)
        result.put(group.index, supported(us, fidelity_of(group, device, kernel)))
    return result
