"""A scenario resolved: the profiles it names, loaded and checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.devices.peaks import Device
from simulator.models.user_fault import check as check_blocks
from simulator.profiles.aliases import split_overrides
from simulator.profiles.errors import fail
from simulator.profiles.figures import Figure
from simulator.profiles.library import (
    figures_of,
    load_device,
    load_model,
    load_prices,
    load_runtime,
    load_scenario,
    load_system,
)
from simulator.profiles.model import Model
from simulator.profiles.prices import Prices
from simulator.profiles.runtime import Runtime
from simulator.profiles.scenario import Scenario
from simulator.profiles.system import System


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """Everything one simulation needs. ranks_per_device: software ranks one device of the profile shows (2 on TPU v7x)."""

    scenario: Scenario
    model: Model
    device: Device
    system: System
    runtime: Runtime
    prices: Prices
    changed: tuple[str, ...] = ()

    @property
    def ranks_per_device(self) -> int:
        """Software ranks per device of the profile."""
        return self.system.ranks_per_device

    @property
    def num_devices(self) -> int:
        """Devices of the profile (chips, cards, dies) that the deployment uses."""
        return -(-self.scenario.num_devices // self.ranks_per_device)

    @property
    def usd_per_device_hour(self) -> float | None:
        """Rate of one device on the scenario's cost basis; None if the basis has none."""
        return self.prices.devices.get(self.device.name)

    def figures(self) -> dict[str, Figure]:
        """Figures of the device, the system and the price that a result rests on, by path."""
        found: dict[str, Figure] = {}
        for label, profile in (("device", self.device), ("system", self.system)):
            try:
                found |= {f"{label}.{path}": figure for path, figure in figures_of(profile).items()}
            except ValueError:
                continue
        price = figures_of(self.prices).get(f"devices.{self.device.name}")
        return found | ({f"prices.{self.prices.name}.devices.{self.device.name}": price} if price else {})


def deploy(name: str, overrides: Mapping[str, str] | None = None) -> Deployment:
    """The scenario ``name`` (bundled or a path) with ``overrides`` (dotted path -> value), every profile loaded.

    ProfileError: unknown names, bad values, or profiles that do not belong together.
    """
    parts = split_overrides(overrides or {})
    return assemble(load_scenario(name, parts["scenario"]), parts)


def assemble(scenario: Scenario, parts: Mapping[str, Mapping[str, str]] | None = None) -> Deployment:
    """The deployment of a loaded ``scenario``. parts: overrides by profile (see aliases.split_overrides)."""
    parts = parts or {}
    if scenario.system:
        system = load_system(scenario.system, parts.get("system"))
        if scenario.device and scenario.device != system.device:
            raise fail(
                f"scenario {scenario.name}",
                0,
                "device",
                f"is not the device of system {system.name}",
                scenario.device,
                f"{system.device}, or leave system out",
            )
        device = load_device(system.device, parts.get("device"))
    else:
        device = load_device(scenario.device, parts.get("device"))
        system = load_system(device.default_system, parts.get("system"))
    runtime = load_runtime(scenario.runtime, parts.get("runtime"))
    if device.vendor not in runtime.vendors:
        raise fail(
            f"scenario {scenario.name}",
            0,
            "runtime",
            f"does not run on {device.vendor} devices",
            runtime.name,
            f"a runtime whose vendors include {device.vendor}",
        )
    model = load_model(scenario.model, parts.get("model"))
    check_blocks(model)
    prices = load_prices(scenario.prices, parts.get("prices"))
    limit = system.max_devices * system.ranks_per_device
    if scenario.num_devices > limit:
        raise fail(
            f"scenario {scenario.name}",
            0,
            "num_devices",
            f"exceeds what system {system.name} holds",
            str(scenario.num_devices),
            f"at most {limit}",
        )
    changed = tuple(f"{p}.{k}={v}" for p, o in parts.items() for k, v in o.items())
    return Deployment(scenario, model, device, system, runtime, prices, changed)
