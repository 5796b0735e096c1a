"""The same work on several devices: each gets its default system, a runtime of its vendor and as many devices as it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from simulator.profiles.aliases import split_overrides
from simulator.profiles.errors import ProfileError, fail, nearest
from simulator.profiles.library import list_names, load_scenario
from simulator.profiles.scenario import Scenario
from simulator.study.cores import answers, spread
from simulator.study.rankings import ranking
from simulator.study.result import Result, without_graphs
from simulator.study.retarget import Parts, place
from simulator.study.rows import Row, row_of
from simulator.study.simulate import simulate_deployment

Outcome: TypeAlias = "tuple[Row, Result] | ProfileError"

FEW = 3
"""Targets that one process takes at a time: neighbours in the list share graphs."""


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Results in rank order (without graphs where there are many) and one row each.

    failures: (device, reason) of those that cannot run the work.
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
    hold the model gets the smallest one that does (``retarget.place``); "asked_num_devices" of its row is the default.
    ProfileError: unknown names.
    """
    parts = split_overrides(overrides or {})
    base = load_scenario(name, parts["scenario"])
    policy = ranking(rank_by)
    found: list[tuple[Row, Result]] = []
    failures: list[tuple[str, ProfileError]] = []
    targets = expand(devices)
    for target, outcome in zip(targets, _outcomes(base, targets, parts), strict=True):
        if progress:
            progress(target)
        if isinstance(outcome, ProfileError):
            failures.append((target, outcome))
        else:
            found.append(outcome)
    if failures and not found:
        raise failures[0][1]
    ranked = sorted(found, key=lambda pair: policy.order(pair[0]))
    rows, ordered = tuple(row for row, _ in ranked), tuple(r for _, r in ranked)
    return Comparison(base.name, ordered, rows, tuple((t, str(e.faults[0])) for t, e in failures), policy.title)


def _outcomes(base: Scenario, targets: Sequence[str], parts: Parts) -> Iterator[Outcome]:
    """Outcome on each target, in order. Many targets are dealt to the cores; their results then come without graphs."""
    workers = len(targets) // FEW
    return answers(partial(_outcome, base, parts, not spread(workers)), targets, workers, FEW)


def _outcome(base: Scenario, parts: Parts, keep_graphs: bool, target: str) -> Outcome:
    try:
        deployment, asked = place(base, target, parts)
        result = simulate_deployment(deployment)
    except ProfileError as error:
        return error
    row = row_of(result) | {"asked_num_devices": asked}
    return row, result if keep_graphs else without_graphs(result)


def expand(devices: Sequence[str]) -> list[str]:
    """Device and system names with "all" spelled out. ProfileError: a name that is neither."""
    known = list_names("device")
    names: list[str] = []
    for device in devices:
        names += known if device == "all" else [device]
    for name in names:
        if name not in known and name not in list_names("system"):
            every = (*known, *list_names("system"))
            close = nearest(name, every)
            message = "unknown device or system" + (f", {close}" if close else "")
            raise fail("--devices", 0, "", message, name, ", ".join(known))
    return list(dict.fromkeys(names))
