"""Calibrated figures of TPU and Ascend profiles and kernel tables, fitted and written back where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from simulator.profiles import Kernel, KernelTable, figures_of, kernel_file, load_device, load_kernels
from simulator.profiles.figures import Figure
from simulator.profiles.tpu import Tpu
from simulator.validation.fit.figure_file import write_figures
from simulator.validation.fit.kernel_fit import value_figures
from simulator.validation.predict.tpu_ascend import REFERENCE, Device, Group, Hardware

# Shares of a datasheet rate: a fit may not exceed the datasheet.
SHARES = frozenset(
    {
        *("cube", "hbm", "l2_panel", "l2_stream", "unhidden", "hbm_vector", "eight_bit_stream", "workspace"),
        *("mxu", "hbm_stream", "hbm_copy", "sparse_gather", "serial_stages", "stream_share", "first_share"),
        *("hidden", "exchange_share", "combine_share", "burst_share"),
    }
)
# Width of the weak log-normal prior around the present value, by field.
SPREAD = {"traffic": 0.1, "cube": 0.1, "hbm": 0.2, "hbm_stream": 0.1, "l2_stream": 0.2}
DEFAULT_SPREAD = 0.7


@dataclass(frozen=True, slots=True)
class Parameter:
    """One figure: an architecture's efficiency (family ""), or a value of kernels of a family, however many share it."""

    family: str
    architecture: str
    name: str
    figure: Figure

    @property
    def upper(self) -> float:
        """Largest allowed value."""
        return 1.0 if self.name in SHARES else float("inf")

    @property
    def spread(self) -> float:
        """Width of the prior in log units."""
        return SPREAD.get(self.name, DEFAULT_SPREAD)


def efficiencies(device: str, names: Iterable[str]) -> list[Parameter]:
    """Calibrated efficiencies called ``names`` of the architecture behind ``device``."""
    architecture = load_device(device).architecture
    figures = figures_of(device)
    found = [(name, figures[f"efficiencies.{name}"]) for name in names]
    return [Parameter("", architecture, name, f) for name, f in found if f.kind == "calibrated" and f.value > 0]


def kernel_values(family: str, vendor: str) -> list[Parameter]:
    """Calibrated values of every kernel of ``family`` in the vendor's reference stack, a shared one once."""
    table = load_kernels(REFERENCE[vendor], family, vendor)
    found: dict[tuple[str, int], Parameter] = {}
    for path, figure in kernel_file.figures_in(Path(table.file)).items():
        if path.startswith("kernels.") and figure.kind == "calibrated" and figure.value > 0:
            found.setdefault((figure.file, figure.line), Parameter(family, "", path.rpartition(".")[2], figure))
    return list(found.values())


class Trial(Hardware):
    """Bundled profiles with trial values of some parameters."""

    def __init__(self, values: Mapping[Parameter, float]) -> None:
        self.values = values

    def device(self, name: str, unit: str) -> Device:
        """The profile of a row with trial efficiencies."""
        device = super().device(name, unit)
        own = {p.name: v for p, v in self.values.items() if not p.family and p.architecture == device.architecture}
        if isinstance(device, Tpu):
            return replace(device, efficiencies=replace(device.efficiencies, **own))
        return replace(device, efficiencies=replace(device.efficiencies, **own))

    def kernel(self, group: Group, device: Device) -> Kernel:
        """The kernel of a group with trial values."""
        kernel, behind = super().kernel(group, device), figures_behind(group, device)
        trial = {(p.figure.file, p.figure.line): v for p, v in self.values.items() if p.family == group.family}
        places = {name: (f.file, f.line) for name, f in behind.items()}
        own = {name: trial[place] for name, place in places.items() if place in trial}
        return replace(kernel, values={**kernel.values, **own})


def figures_behind(group: Group, device: Device) -> dict[str, Figure]:
    """Figure behind each value of the kernel that serves a group."""
    return value_figures(*_table(group, device))


def entry_of(group: Group, device: Device) -> int:
    """Number of the kernel entry that serves a group."""
    table, _, facts = _table(group, device)
    return next(i for i, entry in enumerate(table.entries) if entry.serves(facts))


def _table(group: Group, device: Device) -> tuple[KernelTable, str, dict[str, str]]:
    table = load_kernels(REFERENCE[device.vendor], group.family, device.vendor)
    return table, device.architecture, {k: str(v) for k, v in {"fw": group.stack, **group.facts}.items()}


def write_back(values: Mapping[Parameter, float], rows: Mapping[Parameter, int]) -> None:
    """Replace the number (and the row count) of every parameter on its line of the YAML it came from."""
    write_figures({(p.figure.file, p.figure.line): (p.figure, v, rows.get(p, 0)) for p, v in values.items()})
