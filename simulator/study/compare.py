"""The same work on several devices: each gets its default system, a runtime of its vendor and as many devices as it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.profiles.aliases import split_overrides
from simulator.profiles.errors import ProfileError, fail, nearest
from simulator.profiles.library import list_names, load_device, load_runtime, load_scenario, load_system
from simulator.profiles.scenario import Parallel, Phases, Scenario
from simulator.profiles.system import System
from simulator.study.deployment import Deployment, assemble
from simulator.study.memory_use import fits
from simulator.study.rankings import ranking
from simulator.study.result import Result
from simulator.study.rows import Row, row_of
from simulator.study.simulate import simulate_deployment


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Results in rank order and one row each; failures: (device, reason) of those that cannot run the work.

    order: what comes first, in words.
    """

    scenario: str
    results: tuple[Result, ...]
    rows: tuple[Row, ...]
    failures: tuple[tuple[str, str], ...]
    order: str = ""


def compare(
    name: str,
    devices: Sequence[str],
    overrides: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
    rank_by: str = "output_price",
) -> Comparison:
    """``name`` on each of ``devices`` (device or system names, "all" = every device), ranked by a policy of ``rankings``.

    The work is kept: the total of requests in a step stays that of the scenario. A device whose default deployment cannot
    hold the model gets the smallest one that does. ProfileError: unknown names.
    """
    parts = split_overrides(overrides or {})
    base = load_scenario(name, parts["scenario"])
    policy = ranking(rank_by)
    results: list[Result] = []
    failures: list[tuple[str, ProfileError]] = []
    for target in expand(devices):
        if progress:
            progress(target)
        try:
            results.append(_simulate_on(base, target, parts))
        except ProfileError as error:
            failures.append((target, error))
    if failures and not results:
        raise failures[0][1]
    ranked = sorted(((row_of(r), r) for r in results), key=lambda pair: policy.order(pair[0]))
    rows, ordered = tuple(row for row, _ in ranked), tuple(r for _, r in ranked)
    return Comparison(base.name, ordered, rows, tuple((t, str(e.faults[0])) for t, e in failures), policy.title)


def expand(devices: Sequence[str]) -> list[str]:
    """Device and system names with "all" spelled out. ProfileError: a name that is neither."""
    known = list_names("device")
    names: list[str] = []
    for device in devices:
        names += known if device == "all" else [device]
    for name in names:
        if name not in known and name not in list_names("system"):
            every = (*known, *list_names("system"))
            message = f"unknown device or system {nearest(name, every)}".strip()
            raise fail("--devices", 0, "", message, name, ", ".join(known))
    return list(dict.fromkeys(names))


def _simulate_on(base: Scenario, target: str, parts: Mapping[str, Mapping[str, str]]) -> Result:
    system, guest = _system_of(target)
    runtime = runtime_for(base.runtime, system.vendor)
    count = _first_count(base, system)
    first = deployment = assemble(retarget(base, system, runtime, count, guest), parts)
    while not fits(deployment):
        count *= 2
        if count > system.max_devices * system.ranks_per_device:
            return simulate_deployment(first)
        deployment = assemble(retarget(base, system, runtime, count, guest), parts)
    return simulate_deployment(deployment)


def _system_of(target: str) -> tuple[System, str]:
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


def _first_count(base: Scenario, system: System) -> int:
    """Ranks to start with: as many packages as the scenario has devices (a 910C package has two dies, a v7x chip two ranks)."""
    own = base.system or load_device(base.device).default_system
    packages = base.num_devices // _ranks_per_package(load_system(own))
    return min(packages * _ranks_per_package(system), system.max_devices * system.ranks_per_device)


def _ranks_per_package(system: System) -> int:
    return system.ranks_per_device * system.devices_per_package


def retarget(base: Scenario, system: System, runtime: str, ranks: int, guest: str = "") -> Scenario:
    """``base`` on ``ranks`` ranks of another system: data parallelism takes the change, the total of requests stays.

    guest: a device that takes the place of the system's own.
    """
    p = base.parallel
    place = replace(base, system="" if guest else system.name, device=guest, runtime=runtime)
    if ranks == base.num_devices and system.name == base.system:
        return place
    fixed = p.tp * p.pp * p.cp
    if ranks % fixed:
        raise fail(
            f"system {system.name}", 0, "num_devices", f"{ranks} ranks are not a multiple of tp x pp x cp", str(fixed)
        )
    dp = ranks // fixed
    experts = dp * p.tp * p.cp if p.ep == p.tp * p.dp * p.cp else min(p.ep, ranks)
    parallel = Parallel(p.tp, p.pp, dp, experts if p.ep > 1 else 1, p.cp, p.dcp, p.redundant_experts)
    prefill, decode = base.phases.prefill, base.phases.decode
    phases = Phases(
        replace(prefill, batch=_share(prefill.batch, p.dp, dp)) if prefill else None,
        replace(decode, batch=_share(decode.batch, p.dp, dp)) if decode else None,
    )
    return replace(place, num_devices=ranks, parallel=parallel, phases=phases)


def _share(batch: int, before: int, after: int) -> int:
    """Requests of each of ``after`` attention ranks when ``before`` ranks had ``batch`` each (at least one)."""
    return max(1, round(batch * before / after))


def first_deployment(name: str, target: str, overrides: Mapping[str, str]) -> Deployment:
    """``name`` on ``target`` (device or system) at its first count, without the search for one that fits."""
    parts = split_overrides(overrides)
    base = load_scenario(name, parts["scenario"])
    system, guest = _system_of(expand([target])[0])
    runtime = runtime_for(base.runtime, system.vendor)
    return assemble(retarget(base, system, runtime, _first_count(base, system), guest), parts)
