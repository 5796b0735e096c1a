"""A scenario carried over to another system: as many ranks as it needs there, in the layout closest to its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from simulator.profiles.errors import ProfileError, fail
from simulator.profiles.library import list_names, load_device, load_model, load_runtime, load_system
from simulator.profiles.scenario import Phases, Scenario
from simulator.profiles.system import System
from simulator.study.deployment import Deployment, assemble
from simulator.study.memory_use import fits

Parts = Mapping[str, Mapping[str, str]]

WIDEST_TENSOR_PARALLEL = 16
"""Tensor-parallel ranks tried when data parallelism alone holds the model on no number of devices."""


def place(base: Scenario, target: str, parts: Parts) -> tuple[Deployment, int]:
    """(deployment of ``base`` on ``target`` with the fewest ranks that hold the model, devices of the first one tried).

    Where none fits, the first deployment as it is. ProfileError: no runtime, or a scenario that the system cannot run.
    """
    first = first_deployment(base, target, parts)
    return smallest_deployment(first) or first, first.num_devices


def first_deployment(base: Scenario, target: str, parts: Parts) -> Deployment:
    """``base`` on ``target`` (device or system) with as many packages as it has, not asked whether the model fits."""
    system, guest = system_of(target)
    runtime = runtime_for(base.runtime, system.vendor)
    return assemble(retarget(base, system, runtime, first_count(base, system), guest), parts)


def smallest_deployment(first: Deployment) -> Deployment | None:
    """``first`` with the fewest ranks that hold its model, in steps of two from its own; None if the system holds none.

    Of the layouts with that many ranks the first that fits: the scenario's own with more data parallelism, then wider tensor
    parallelism. Ranks beyond a slice's scale-up domain move to the next larger slice.
    """
    guest = "" if first.system.device == first.device.name else first.device.name
    ranks = first.scenario.num_devices
    while (system := _holding(first, ranks)) is not None:
        for tp in _tensor_parallel(first.scenario, system):
            try:
                scenario = retarget(first.scenario, system, first.runtime.name, ranks, guest, tp)
                candidate = replace(first, scenario=scenario, system=system)
                if fits(candidate):
                    return candidate
            except ProfileError:
                continue  # sizes that do not divide the model or the ranks
        ranks *= 2
    return None


def _holding(first: Deployment, ranks: int) -> System | None:
    """The system, or the next larger slice of its kind whose scale-up domain covers ``ranks``; None beyond the last."""
    system, own = first.system, "system."
    overrides = dict(c.removeprefix(own).split("=", 1) for c in first.changed if c.startswith(own))
    while system.scale_up.scope * system.ranks_per_device < ranks and system.larger:
        system = load_system(system.larger, overrides)
    return system if ranks <= system.max_devices * system.ranks_per_device else None


def _tensor_parallel(base: Scenario, system: System) -> Iterator[int]:
    tp, widest = base.parallel.tp, min(WIDEST_TENSOR_PARALLEL, system.scale_up.scope * system.ranks_per_device)
    yield tp
    while (tp := 2 * tp) <= widest:
        yield tp


def system_of(target: str) -> tuple[System, str]:
    """(system of a device or system name, the device if it is a guest there: its default system was built for another)."""
    if target in list_names("system"):
        return load_system(target), ""
    system = load_system(load_device(target).default_system)
    return system, target if system.device != target else ""


def runtime_for(wanted: str, vendor: str) -> str:
    """The scenario's runtime where it runs on ``vendor`` devices, else the vendor's reference runtime."""
    if vendor in load_runtime(wanted).vendors:
        return wanted
    for name in list_names("runtime"):
        runtime = load_runtime(name)
        if runtime.reference and vendor in runtime.vendors:
            return name
    raise fail("runtime", 0, "", f"no reference runtime for {vendor} devices", wanted)


def first_count(base: Scenario, system: System) -> int:
    """Ranks to start with: as many packages as the scenario has devices (a 910C package has two dies, a v7x chip two ranks)."""
    own = base.system or load_device(base.device).default_system
    packages = base.num_devices // _ranks_per_package(load_system(own))
    return min(packages * _ranks_per_package(system), system.max_devices * system.ranks_per_device)


def _ranks_per_package(system: System) -> int:
    return system.ranks_per_device * system.devices_per_package


def retarget(
    base: Scenario, system: System, runtime: str, ranks: int, guest: str = "", tp: int | None = None
) -> Scenario:
    """``base`` on ``ranks`` ranks of another system: data parallelism takes the change, the total of requests stays.

    guest: a device that takes the place of the system's own. tp: tensor-parallel ranks (None = the scenario's).
    """
    p = base.parallel
    tp = tp or p.tp
    moved = replace(base, system="" if guest else system.name, device=guest, runtime=runtime)
    if ranks == base.num_devices and system.name == base.system and tp == p.tp:
        return moved
    fixed = tp * p.pp * p.cp
    if ranks % fixed:
        raise fail(
            f"system {system.name}", 0, "num_devices", f"{ranks} ranks are not a multiple of tp x pp x cp", str(fixed)
        )
    dp = ranks // fixed
    parallel = replace(p, tp=tp, dp=dp, ep=_expert_parallel(base, dp * tp * p.cp))
    return replace(moved, num_devices=ranks, parallel=parallel, phases=_shared(base.phases, p.dp, dp))


def _shared(phases: Phases, before: int, after: int) -> Phases:
    """Requests of ``before`` attention ranks dealt to ``after``."""
    prefill, decode, mixed = phases.prefill, phases.decode, phases.mixed
    if mixed is not None:
        running, chunks = mixed.decode, mixed.prefill
        mixed = replace(
            mixed,
            decode=replace(running, batch=_share(running.batch, before, after)),
            prefill=replace(chunks, batch=_share(chunks.batch, before, after)),
        )
    return Phases(
        replace(prefill, batch=_share(prefill.batch, before, after)) if prefill else None,
        replace(decode, batch=_share(decode.batch, before, after)) if decode else None,
        mixed,
    )


def _expert_parallel(base: Scenario, ranks: int) -> int:
    """Expert-parallel ranks among ``ranks`` of a stage: all of them if the scenario has it so, and at most one per expert."""
    p = base.parallel
    if p.ep == 1:
        return 1
    if p.ep < p.tp * p.dp * p.cp:
        return min(p.ep, ranks)
    moe = load_model(base.model).moe
    slots = moe.experts + p.redundant_experts if moe else ranks
    return ranks if ranks <= slots else slots


def _share(batch: int, before: int, after: int) -> int:
    """Requests of each of ``after`` attention ranks when ``before`` ranks had ``batch`` each (at least one)."""
    return max(1, round(batch * before / after))
