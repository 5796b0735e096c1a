"""Writes fitted figures back into YAML files in place, keeping comments, order and everything that was not fitted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from simulator.profiles.units import UNITS

LEAF = re.compile(
    r"^(?P<pad> *)(?P<name>\w+): \{value: (?P<number>[-+.\deE]+)(?P<unit> [^,}]+)?, kind: \w+(?P<rest>.*)\}\s*$"
)

NAMED = re.compile(r"^ +(?P<name>\w+): (?P<shared>[a-z]\w*)\s*$")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted value in SI and the number of rows behind it."""

    value: float
    rows: int


def rewrite_kernels(path: Path, fitted: Mapping[tuple[int, str, str], Fitted]) -> int:
    """Replaces values keyed (entry, override architecture or "", name); returns how many were written.

    A value that names a figure of the ``shared`` map replaces that figure.
    """
    lines, written = path.read_text().splitlines(), 0
    places = list(_places(lines))
    shared = {
        match["shared"]: fitted[entry, override, match["name"]]
        for line, (entry, override) in zip(lines, places, strict=True)
        if (match := NAMED.match(line)) and (entry, override, match["name"]) in fitted
    }
    for at, (entry, override) in enumerate(places):
        match = LEAF.match(lines[at])
        if match is None:
            continue
        found = shared.get(match["name"]) if entry < 0 else fitted.get((entry, override, match["name"]))
        if found is not None:
            lines[at], written = _leaf(match, found), written + 1
    path.write_text("\n".join(lines) + "\n")
    return written


def _places(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """(entry, override) each line of a kernel file belongs to; -1 before the first entry."""
    entry, override, inside = -1, "", False
    for line in lines:
        if line.startswith("  - "):
            entry, override, inside = entry + 1, "", False
        elif line.startswith("    architectures:"):
            inside = True
        elif inside and re.match(r"^      \w+:\s*(#.*)?$", line):
            override = line.split("#")[0].strip()[:-1]
        yield entry, override


def rewrite_efficiencies(path: Path, fitted: Mapping[str, Fitted]) -> int:
    """Replaces leaves of the ``efficiencies`` map; returns how many were written."""
    inside, lines, written = False, [], 0
    for line in path.read_text().splitlines():
        if line and not line.startswith(" "):
            inside = line.startswith("efficiencies:")
        match = LEAF.match(line)
        if inside and match and (found := fitted.get(match["name"])) is not None:
            line, written = _leaf(match, found), written + 1
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")
    return written


def _leaf(match: re.Match[str], found: Fitted) -> str:
    unit = match["unit"] or ""
    number = found.value / float(UNITS[unit.strip()][1])
    rest = re.sub(r", rows: \d+", "", match["rest"])
    return f"{match['pad']}{match['name']}: {{value: {number:.3g}{unit}, kind: calibrated{rest}, rows: {found.rows}}}"
