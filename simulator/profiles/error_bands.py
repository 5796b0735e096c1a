"""Measured prediction errors by family, vendor and size class: what the error bands shown beside results rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.profiles import search
from simulator.profiles.fields import Ratio
from simulator.profiles.load import load_as


@dataclass(frozen=True, slots=True)
class ErrorBands:
    """percent: family -> vendor -> size class -> error in percent that two thirds of the rows stay below.

    new_device, new_generation: factors for a device, a generation without rows. derived, estimated: factors for stack
    values that stand in for another stack, or for none.
    """

    name: str
    percent: Mapping[str, Mapping[str, Mapping[str, Ratio]]]
    measured_devices: tuple[str, ...]
    measured_architectures: tuple[str, ...]
    new_device: Ratio
    new_generation: Ratio
    derived: Ratio
    estimated: Ratio
    fallback: Ratio

    def of(self, family: str, vendor: str, size: str) -> float:
        """Percent of one cell; the widest cell of the family, then ``fallback``, where a cell is missing."""
        vendors = self.percent.get(family, {})
        if size in vendors.get(vendor, {}):
            return vendors[vendor][size]
        cells = [v for sizes in vendors.values() for v in sizes.values()]
        return max(cells, default=self.fallback)


def load_error_bands() -> ErrorBands:
    """The bundled table, written by ``silicast validate``."""
    return load_as(ErrorBands, search.bundled() / "hardware_profiles" / "error-bands.yaml", sourced=False)
