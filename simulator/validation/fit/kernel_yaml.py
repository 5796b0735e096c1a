"""Writes fitted figures back into YAML files in place, keeping comments, order and everything that was not fitted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simulator.profiles.units import UNITS

LEAF = re.compile(
    r"^(?P<pad> *)(?P<name>\w+): \{value: (?P<number>[-+.\deE]+)(?P<unit> [^,}]+)?, kind: \w+(?P<rest>.*)\}\s*$"
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted value in SI and the number of rows behind it."""

    value: float
    rows: int


def rewrite_kernels(path: Path, fitted: Mapping[tuple[int, str, str], Fitted]) -> int:
    """Replaces values keyed (entry, override architecture or "", name); returns how many were written."""
    entry, override, inside, lines, written = -1, "", False, [], 0
    for line in path.read_text().splitlines():
        if line.startswith("  - "):
            entry, override, inside = entry + 1, "", False
        elif line.startswith("    architectures:"):
            inside = True
        elif inside and re.match(r"^      \w+:\s*$", line):
            override = line.strip()[:-1]
        match = LEAF.match(line)
        if match and (found := fitted.get((entry, override, match["name"]))) is not None:
            line, written = _leaf(match, found), written + 1
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")
    return written


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
