"""System profile: how devices of one kind are joined (tiers), what hosts them, and what the box draws.

A *tier* is one level of the fabric: every device reaches ``scope`` devices through it with the stated rate. Tiers nest;
the smallest scope is the scale-up domain, the largest the scale-out network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.profiles.fields import BytesPerSecond, Count, Ratio, Seconds, Watts


@dataclass(frozen=True, slots=True)
class Tier:
    """One level of the fabric.

    scope: devices within reach. topology: switch, mesh (one link per pair), ring, line, torus or bridge (PCIe tree).
    bandwidth: one device, one direction, over all its links of this tier. per_link: one link (mesh pair, torus link).
    latency: one hop of a collective. start: start of a collective on this tier, before the first hop.
    shape: torus axes, "4x4x4". wrap: an axis closes to a ring only if its length is a multiple of this (0 = never).
    wrap_rule: "axis" judges each axis alone, "cube" needs every axis to qualify. reduces: 1 if switches add in flight.
    order: nesting level, 0 = innermost. uplink: limit of all devices of a domain together towards this tier (0 = none).
    """

    scope: Count
    topology: str
    bandwidth: BytesPerSecond
    latency: Seconds
    start: Seconds
    order: Count = 0
    uplink: BytesPerSecond = 0.0
    per_link: BytesPerSecond = 0.0
    reduces: Count = 0
    shape: str = ""
    wrap: Count = 0
    wrap_rule: str = "axis"

    @property
    def axes(self) -> tuple[int, ...]:
        """Lengths of the torus axes longer than one (empty when the tier has no shape)."""
        lengths = (int(n) for n in self.shape.split("x") if n)
        return tuple(n for n in lengths if n > 1)

    @property
    def wrapped(self) -> tuple[bool, ...]:
        """Whether each of ``axes`` closes to a ring.

        Source: jax-ml/scaling-book@0819a7d, tpus.md (2D parts wrap an axis of 16, 3D parts only whole 4x4x4 cubes).
        """
        closes = tuple(self.wrap > 0 and n % self.wrap == 0 for n in self.axes)
        if self.wrap_rule == "cube":
            whole = len(closes) == self.shape.count("x") + 1 and all(closes)
            return tuple(whole for _ in closes)
        return closes


@dataclass(frozen=True, slots=True)
class Host:
    """The CPU side of one node.

    power: CPU, memory, fans, storage and network cards of one node at load. cpu_factor: single-thread time against the
    reference server CPU (1 = Xeon 8480C, above 1 = slower), which scales launch and scheduling time.
    """

    cpu: str
    power: Watts
    cpu_factor: Ratio


@dataclass(frozen=True, slots=True)
class System:
    """Devices of one kind joined by a fabric.

    device: canonical device name. devices_per_node, max_nodes: hosts and their number. ranks_per_device: software ranks
    a device shows (2 for a TPU chip with two core-devices). devices_per_package: dies that are sold and powered as one
    part. all_in_power: provisioned facility power per device, network and cooling share included. routes: measured
    rates of single transfers, "scope/transport/direction" -> rate. larger: the next larger slice that is sold, for work that
    does not fit into one scale-up domain of this one.
    """

    name: str
    vendor: str
    device: str
    devices_per_node: Count
    max_nodes: Count
    tiers: Mapping[str, Tier]
    host: Host
    all_in_power: Watts
    ranks_per_device: Count = 1
    devices_per_package: Count = 1
    routes: Mapping[str, BytesPerSecond] = field(default_factory=dict)
    larger: str = ""

    @property
    def max_devices(self) -> int:
        """Devices in the largest deployment."""
        return self.devices_per_node * self.max_nodes

    @property
    def levels(self) -> tuple[tuple[str, Tier], ...]:
        """(name, tier) from the innermost outwards."""
        return tuple(sorted(self.tiers.items(), key=lambda item: (item[1].order, item[1].scope)))

    @property
    def scale_up(self) -> Tier:
        """The tier that joins the devices of one domain: the widest one that is not a scale-out network.

        A system with a single tier has only this one.
        """
        levels = [tier for _, tier in self.levels]
        return levels[0] if len(levels) == 1 else levels[-2]

    @property
    def scale_out(self) -> Tier:
        """The outermost tier (equal to ``scale_up`` in a system of one tier)."""
        return self.levels[-1][1]
