"""Calibrated figures of TPU and Ascend profiles and kernel tables, fitted and written back where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from simulator.profiles import Kernel, KernelTable, figures_of, kernel_file, load_device, load_kernels
from simulator.profiles.figures import Figure
from simulator.profiles.kernels import Entry, canonical_runtime
from simulator.profiles.tpu import Tpu
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
    """One figure: an architecture's efficiency (entry -1) or a kernel entry's value (its base or an architecture's own)."""

    family: str
    entry: int
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
    return [Parameter("", -1, architecture, name, f) for name, f in found if f.kind == "calibrated" and f.value > 0]


def kernel_values(family: str, vendor: str) -> list[Parameter]:
    """Calibrated values of every kernel of ``family`` in the vendor's reference stack."""
    table = load_kernels(REFERENCE[vendor], family, vendor)
    parameters = []
    for path, figure in kernel_file.figures_in(Path(table.file)).items():
        found = re.fullmatch(r"kernels\.(\d+)\.(?:architectures\.(\w+)\.)?values\.(\w+)", path)
        if found and figure.kind == "calibrated" and figure.value > 0:
            architecture = found.group(2) or ""
            parameters.append(Parameter(family, int(found.group(1)), architecture, found.group(3), figure))
    return parameters


class Trial(Hardware):
    """Bundled profiles with trial values of some parameters."""

    def __init__(self, values: Mapping[Parameter, float]) -> None:
        self.values = values

    def device(self, name: str, unit: str) -> Device:
        """The profile of a row with trial efficiencies."""
        device = super().device(name, unit)
        own = {p.name: v for p, v in self.values.items() if p.entry < 0 and p.architecture == device.architecture}
        if isinstance(device, Tpu):
            return replace(device, efficiencies=replace(device.efficiencies, **own))
        return replace(device, efficiencies=replace(device.efficiencies, **own))

    def kernel(self, group: Group, device: Device) -> Kernel:
        """The kernel of a group with trial values."""
        kernel = super().kernel(group, device)
        entry, own = chosen(group, device)
        names = [p for p in self.values if p.family == group.family and p.entry == entry]
        base = {p.name: self.values[p] for p in names if not p.architecture and p.name not in own}
        special = {p.name: self.values[p] for p in names if p.architecture == device.architecture}
        return replace(kernel, values={**kernel.values, **base, **special})


def chosen(group: Group, device: Device) -> tuple[int, frozenset[str]]:
    """(index of the kernel entry that serves a group, names its architecture gives its own values)."""
    reference = REFERENCE[device.vendor]
    table: KernelTable = load_kernels(reference, group.family, device.vendor)
    facts = {k: str(v) for k, v in {"fw": group.stack, **group.facts}.items()}
    index = next(i for i, entry in enumerate(table.entries) if entry.serves(facts))
    entry: Entry = table.entries[index]
    own = entry.architectures.get(device.architecture)
    return index, frozenset(own.values if own else ())


def known_stack(group: Group, vendor: str) -> bool:
    """True if the group's stack is the vendor's reference stack or an alias of it."""
    return canonical_runtime(group.stack or REFERENCE[vendor]) == REFERENCE[vendor]


def write_back(values: Mapping[Parameter, float], rows: Mapping[Parameter, int]) -> None:
    """Replace the number (and the row count) of every parameter on its line of the YAML it came from."""
    by_file: dict[str, list[Parameter]] = {}
    for parameter in values:
        by_file.setdefault(parameter.figure.file, []).append(parameter)
    for file, parameters in by_file.items():
        path = Path(file)
        lines = path.read_text().split("\n")
        for p in parameters:
            lines[p.figure.line - 1] = _edited(lines[p.figure.line - 1], p, values[p], rows.get(p, 0))
        path.write_text("\n".join(lines))


def _edited(line: str, parameter: Parameter, value: float, rows: int) -> str:
    found = re.search(rf"\b{parameter.name}: \{{value: ([-+0-9.eE]+)([^,}}]*)", line)
    if found is None:
        raise ValueError(
            f"{parameter.figure.file}:{parameter.figure.line}: {parameter.name} is not written on one line"
        )
    number = float(found.group(1)) * value / parameter.figure.value
    line = f"{line[: found.start(1)]}{number:.3g}{line[found.end(1) :]}"
    if not rows:
        return line
    if re.search(r"rows: \d+", line):
        return re.sub(r"rows: \d+", f"rows: {rows}", line)
    return line.replace("source: fit", f"source: fit, rows: {rows}", 1)
