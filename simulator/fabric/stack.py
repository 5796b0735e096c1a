"""The communication stack of a deployment: which library serves a collective or an exchange, with which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from simulator.profiles.kernels import KernelTable, families, load_kernels

# The collective library of a vendor's platform; serving frameworks may add kernels of their own on top of it.
LIBRARIES = {"nvidia": "nccl", "google": "jax", "huawei": "cann"}
EXCHANGES = {"nvidia": "deepep", "google": "jax", "huawei": "cann"}
# Algorithms of a family whose values stand in a file of their own, where a library has it.
BESIDE = {"collectives": ("point_to_point",), "deepep": ("expert_low_latency",)}


@dataclass(frozen=True, slots=True)
class Protocol:
    """Stack values of one protocol, in SI, and what it does."""

    values: Mapping[str, float]
    traits: Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class CommStack:
    """Kernel tables of a stack for one architecture.

    library: the vendor's table. own: the serving framework's table where it has one. fidelity: how firm the values are.
    beside: further tables of the library, for algorithms that stand in files of their own.
    """

    architecture: str
    library: KernelTable
    own: KernelTable | None
    fidelity: str
    beside: tuple[KernelTable, ...] = ()

    @property
    def tables(self) -> tuple[KernelTable, ...]:
        """Tables in the order they are asked."""
        return (*(t for t in (self.own, self.library) if t is not None), *self.beside)

    def find(self, protocol: str, **facts: str) -> Protocol | None:
        """Stack values of ``protocol``, the framework's own first; None if neither has it."""
        return _find(self, protocol, tuple(sorted(facts.items())))

    def need(self, protocol: str, **facts: str) -> Protocol:
        """Like ``find``; KeyError names what is missing."""
        found = self.find(protocol, **facts)
        if found is None:
            raise KeyError(f"{self.library.runtime} has no {protocol} values for {facts or 'any case'}")
        return found


@lru_cache(maxsize=4096)
def _find(stack: CommStack, protocol: str, facts: tuple[tuple[str, str], ...]) -> Protocol | None:
    known = {"protocol": protocol, **dict(facts)}
    for table in stack.tables:
        if any(entry.serves(known) for entry in table.entries):
            kernel = table.select(stack.architecture, **known)
            return Protocol(kernel.values, kernel.traits)
    return None


def collective_stack(runtime: str, vendor: str, architecture: str) -> CommStack:
    """The stack that runs collectives when ``runtime`` serves on ``vendor`` hardware of one architecture."""
    return _stack(runtime, vendor, architecture, "collectives", LIBRARIES)


def exchange_stack(runtime: str, vendor: str, architecture: str) -> CommStack:
    """The stack that dispatches tokens to experts and combines them."""
    return _stack(runtime, vendor, architecture, "deepep", EXCHANGES)


def _stack(runtime: str, vendor: str, architecture: str, family: str, libraries: Mapping[str, str]) -> CommStack:
    library = load_kernels(libraries[vendor], family)
    own = load_kernels(runtime, family, vendor) if runtime else None
    known = own is not None and not own.substituted_for
    if own is not None and (not known or own.runtime == library.runtime or not _serves(own, vendor)):
        own = None
    beside = tuple(load_kernels(library.runtime, f) for f in BESIDE[family] if f in families(library.runtime))
    return CommStack(architecture, library, own, "calibrated" if known or not runtime else "estimated", beside)


def _serves(table: KernelTable, vendor: str) -> bool:
    """Whether any entry of a framework's table is meant for ``vendor`` (an entry without that fact serves NVIDIA)."""
    return any(vendor in entry.match.get("vendor", ("nvidia",)) for entry in table.entries)
