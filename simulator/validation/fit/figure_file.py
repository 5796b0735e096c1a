"""Writes fitted numbers back into the YAML lines they came from; everything else of the file stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from simulator.profiles import Figure
from simulator.profiles.output import write_atomically

_VALUE = re.compile(r"(\bvalue:\s*\"?)([-+0-9.eE]+)")
_ROWS = re.compile(r"(\brows:\s*)\d+")


def write_figures(new: Mapping[tuple[str, int], tuple[Figure, float, int]]) -> list[Path]:
    """Set figures to (SI value, rows behind it); returns the files changed.

    ValueError if a line does not hold the figure it should.
    """
    files: dict[str, list[str]] = {}
    for (file, line), (figure, value, rows) in new.items():
        lines = files.setdefault(file, Path(file).read_text(encoding="utf-8").splitlines(keepends=True))
        lines[line - 1] = _changed(lines[line - 1], figure, value, rows)
    for file, lines in files.items():
        write_atomically(Path(file), "".join(lines))
    return [Path(f) for f in files]


def _changed(line: str, figure: Figure, value: float, rows: int) -> str:
    found = _VALUE.search(line)
    if found is None:
        raise ValueError(f"{figure.file}:{figure.line}: no figure on this line: {line.strip()}")
    factor = figure.value / float(found[2]) if float(found[2]) else 1.0
    line = line[: found.start(2)] + f"{value / factor:.4g}" + line[found.end(2) :]
    if _ROWS.search(line):
        return _ROWS.sub(rf"\g<1>{rows}", line)
    return line.replace("}", f", rows: {rows}}}", 1)
