"""Figures: a value with its unit, kind and source, and the place in the YAML it came from.

A figure is written ``{value: 3.35 TB/s, kind: vendor, source: h100_datasheet}``; ``note`` and ``rows`` (measurements
behind a calibrated value) may follow. ``source`` is a key of the file's ``sources:`` map, its own or an inherited one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.profiles import units
from simulator.profiles.errors import Fault, nearest
from simulator.profiles.yaml_source import Located

FIGURE_KINDS = ("vendor", "measured", "derived", "calibrated", "estimated")
_KEYS = ("value", "kind", "source", "note", "rows")
FORM = "{value: <number unit>, kind: <kind>, source: <key>}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One sourced value.

    value: in the SI base unit ``unit``. text: as written. source: key of ``sources``. citation: what it stands for.
    rows: measurements behind a calibrated value. line 0: set on the command line.
    """

    value: float
    text: str
    unit: str
    kind: str
    source: str
    citation: str
    note: str
    rows: int
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """Text of a quantity on its way to a dimensioned field. sourced: it was written as a figure."""

    text: str
    sourced: bool


def is_figure(node: Located) -> bool:
    """True for a mapping with a ``value``."""
    return isinstance(node.value, dict) and "value" in node.value


def lift(root: Located) -> tuple[Any, dict[tuple[str, ...], Figure], list[Fault]]:
    """(plain data with a Quantity in place of every figure, figures by path, faults of the figures themselves)."""
    sources, faults = _sources(root)
    figures: dict[tuple[str, ...], Figure] = {}

    def walk(node: Located, path: tuple[str, ...]) -> Any:
        if is_figure(node):
            figure, found = _figure(node, ".".join(path), sources)
            faults.extend(found)
            if figure is not None:
                figures[path] = figure
            return Quantity(text_of(node.mapping["value"]), True)
        if isinstance(node.value, dict):
            return {k: walk(v, (*path, k)) for k, v in node.value.items()}
        if isinstance(node.value, list):
            return [walk(v, (*path, str(i))) for i, v in enumerate(node.value)]
        return node.value

    body = {k: walk(v, (k,)) for k, v in root.mapping.items() if k != "sources"}
    return body, figures, faults


def text_of(node: Located) -> str:
    """The ``value`` of a figure as written."""
    return node.value if isinstance(node.value, str) else node.given()


def _sources(root: Located) -> tuple[Mapping[str, str], list[Fault]]:
    node = root.mapping.get("sources")
    if node is None:
        return {}, []
    if not isinstance(node.value, dict):
        allowed = "key: one-line citation"
        return {}, [Fault(node.file, node.line, "sources", "a mapping is expected", node.given(), allowed)]
    faults = [
        Fault(v.file, v.line, f"sources.{k}", "a citation is expected", v.given(), "one line of text")
        for k, v in node.value.items()
        if not isinstance(v.value, str) or not v.value.strip()
    ]
    return {k: str(v.value) for k, v in node.value.items()}, faults


def _figure(node: Located, field: str, sources: Mapping[str, str]) -> tuple[Figure | None, list[Fault]]:
    entries = node.mapping
    faults = [_unknown_key(child, f"{field}.{key}", key) for key, child in entries.items() if key not in _KEYS]
    for key, among in (("kind", FIGURE_KINDS), ("source", tuple(sources))):
        faults += _word_fault(node, field, key, among)
    rows = entries.get("rows")
    if rows is not None and (not isinstance(rows.value, int) or isinstance(rows.value, bool) or rows.value < 0):
        faults.append(Fault(rows.file, rows.line, f"{field}.rows", "not a count", rows.given(), "a whole number >= 0"))
    text = text_of(entries["value"])
    try:
        value, unit = units.parse_any(text)
    except units.UnitError as error:
        faults.append(Fault(node.file, node.line, field, error.message, error.given, error.allowed))
    if faults:
        return None, faults
    source = str(entries["source"].value)
    note = str(entries["note"].value) if "note" in entries else ""
    count = rows.value if rows is not None and isinstance(rows.value, int) else 0
    kind = str(entries["kind"].value)
    return Figure(value, text, unit, kind, source, sources[source], note, count, node.file, node.line), []


def _unknown_key(node: Located, field: str, key: str) -> Fault:
    close = nearest(key, _KEYS)
    message = "unknown key of a figure" + (f", {close}" if close else "")
    return Fault(node.file, node.line, field, message, repr(key), ", ".join(_KEYS))


def _word_fault(node: Located, field: str, key: str, among: tuple[str, ...]) -> list[Fault]:
    entry = node.mapping.get(key)
    if entry is None:
        return [Fault(node.file, node.line, f"{field}.{key}", f"the figure has no {key}", "", ", ".join(among) or FORM)]
    if isinstance(entry.value, str) and entry.value in among:
        return []
    allowed = ", ".join(among) if among else "a key of the file's sources:"
    return [Fault(entry.file, entry.line, f"{field}.{key}", f"unknown {key}", entry.given(), allowed)]
