"""Where the ranks of a group lie in a system, the route between them and the link resources they share.

A group of ranks is contiguous in rank order unless ``domains`` says into how many scale-up domains it is split.
Inside one tier every rank has its own port; resources carry ids so that a replay can let flows share them.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulator.profiles.system import System, Tier


@dataclass(frozen=True, slots=True)
class Link:
    """A shared resource of the fabric: ``capacity`` bytes per second in one direction."""

    id: str
    capacity: float


@dataclass(frozen=True, slots=True)
class Span:
    """How a group of ``ranks`` lies: ``per_domain`` ranks in each of ``domains`` scale-up domains.

    inner: tier inside a domain. outer: tier between domains (None if there is one domain). inner_name, outer_name:
    names. cores: ranks of the group on each device (2 when both core-devices of a TPU chip take part). sharing:
    groups that use the same ports at once (2 when the core-devices of a chip run a group each).
    """

    ranks: int
    per_domain: int
    domains: int
    inner: Tier
    inner_name: str
    outer: Tier | None = None
    outer_name: str = ""
    cores: int = 1
    sharing: int = 1

    @property
    def devices(self) -> int:
        """Devices the group covers."""
        return -(-self.ranks // self.cores)

    @property
    def inner_devices(self) -> int:
        """Devices of the group in one domain."""
        return -(-self.per_domain // self.cores)


def place(system: System, ranks: int, domains: int = 1, *, cores: int | None = None, sharing: int = 1) -> Span:
    """Span of a contiguous group of ``ranks`` ranks, forced into at least ``domains`` domains.

    cores: ranks of the group per device (None = all the ranks a device shows). ValueError: no rank, or more devices
    than the outermost tier reaches.
    """
    if ranks < 1:
        raise ValueError(f"a group needs at least one rank, got {ranks}")
    cores = cores or min(ranks, system.ranks_per_device)
    devices = -(-ranks // cores)
    levels = system.levels
    if domains <= 1:
        for name, tier in levels[: max(1, len(levels) - 1)]:
            if tier.scope >= devices:
                return Span(ranks, ranks, 1, tier, name, cores=cores, sharing=sharing)
    name, inner = next((n, t) for n, t in levels if t == system.scale_up)
    outer_name, outer = levels[-1]
    if outer.scope < devices:
        raise ValueError(f"{system.name}: {devices} devices do not fit, the {outer_name} tier reaches {outer.scope}")
    split = max(domains, -(-devices // inner.scope))
    per_domain = -(-devices // split) * cores
    return Span(ranks, per_domain, split, inner, name, outer, outer_name, cores, sharing)


def links_of(span: Span) -> tuple[Link, ...]:
    """Link resources one collective over ``span`` occupies while it runs.

    Equal ranks are folded into one: the ids name the port of a rank, so two collectives of the same rank share it.
    """
    port = span.inner.bandwidth
    found = [Link(span.inner_name, port)] if span.per_domain > 1 or span.outer is None else []
    if span.outer is not None:
        found.append(Link(span.outer_name, span.outer.bandwidth))
    return tuple(found)


def unit_of(tier_name: str) -> str:
    """Name under which a tier's busy time is reported (Cost.busy)."""
    return {"network": "nic", "roce": "nic", "dcn": "nic", "bridge": "nvlink"}.get(tier_name, tier_name)
