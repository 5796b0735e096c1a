"""Measured prediction errors by family, vendor and size class: what the error bands shown beside results rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.profiles import search
from simulator.profiles.fields import Count, Ratio
from simulator.profiles.load import load_as


@dataclass(frozen=True, slots=True)
class Band:
    """percent: error that two thirds of ``rows`` rows stay below."""

    percent: Ratio
    rows: Count


@dataclass(frozen=True, slots=True)
class Measured:
    """Devices and architectures with rows of a family."""

    devices: tuple[str, ...]
    architectures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorBands:
    """bands: family -> vendor -> size class -> band. measured: family -> what has rows of it.

    new_device, new_generation: factors for a device, a generation without rows. derived, estimated: factors for stack
    values that stand in for another stack, or for none. fallback: percent of a family without any row. composition: what a
    whole step adds to its kernels (launch gaps, fusion, imbalance, engine) by vendor, from measured serving steps.
    """

    name: str
    bands: Mapping[str, Mapping[str, Mapping[str, Band]]]
    measured: Mapping[str, Measured]
    new_device: Ratio
    new_generation: Ratio
    derived: Ratio
    estimated: Ratio
    fallback: Ratio
    composition: Mapping[str, Band]

    @property
    def measured_devices(self) -> tuple[str, ...]:
        """Devices with rows of any family."""
        return tuple(sorted({d for m in self.measured.values() for d in m.devices}))

    def ground(self, family: str, device: str, architecture: str) -> str:
        """What rows of ``family`` there are: "device", "generation" or "none"."""
        known = self.measured.get(family)
        if known is None:
            return "none"
        return "device" if device in known.devices else "generation" if architecture in known.architectures else "none"

    def of(self, family: str, vendor: str, size: str) -> float:
        """Percent of one cell.

        A missing size takes the widest cell of its vendor; a vendor without rows the family's widest cell, widened as
        for a new generation; a family without rows ``fallback``.
        """
        vendors = self.bands.get(family, {})
        sizes = vendors.get(vendor, {})
        if size in sizes:
            return sizes[size].percent
        if sizes:
            return max(band.percent for band in sizes.values())
        cells = [band.percent for others in vendors.values() for band in others.values()]
        return max(cells) * self.new_generation if cells else self.fallback

    def of_step(self, vendor: str) -> float:
        """Percent that a whole step adds to its kernels; the widest vendor's where a vendor has no measured step."""
        widest = max((band.percent for band in self.composition.values()), default=self.fallback)
        return self.composition[vendor].percent if vendor in self.composition else widest


def load_error_bands() -> ErrorBands:
    """The bundled table, written by the accuracy report."""
    return load_as(ErrorBands, search.bundled() / "hardware_profiles" / "error-bands.yaml", sourced=False)
