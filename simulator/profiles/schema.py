"""JSON Schema (draft 2020-12) of every kind of profile file, for completion and checks in editors."""

from __future__ import annotations

from typing import Any

from simulator.profiles import aliases, library, load, quantity_schema, units
from simulator.profiles.errors import fail, nearest
from simulator.profiles.kernels import MAX_VALUES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
KERNELS = "kernels"

_ENVELOPE: dict[str, Any] = {
    "extends": {"type": "string", "description": "profile this one inherits from, a path without .yaml"},
    "sources": {"type": "object", "additionalProperties": {"type": "string"}, "description": "key: one-line citation"},
    "notes": {"description": "free text"},
}


def schema(kind: str, vendor: str = "") -> dict[str, Any]:
    """Schema of ``kind``: device, system, prices, model, runtime, kernels or scenario.

    vendor: whose devices (nvidia, google, huawei); without it a device of any vendor fits.
    ProfileError: unknown kind or vendor.
    """
    if kind == "device":
        return _device(vendor)
    if kind == KERNELS:
        return _kernels()
    if kind not in library.CLASSES:
        raise _unknown("kind", kind, ("device", KERNELS, *library.CLASSES))
    document = _of(library.class_of(kind))
    if kind == "scenario":
        _accept_aliases(document)
    return document


def _device(vendor: str) -> dict[str, Any]:
    if not vendor:
        return {"$schema": DIALECT, "title": "Device", "anyOf": [_device(v) for v in library.VENDORS]}
    if vendor not in library.VENDORS:
        raise _unknown("vendor", vendor, tuple(library.VENDORS))
    return _of(library.class_of("device", vendor))


def _unknown(what: str, given: str, known: tuple[str, ...]) -> Exception:
    close = nearest(given, known)
    message = f"unknown {what} {given!r}" + (f", {close}" if close else "")
    return fail("schema", 0, "", message, allowed=", ".join(known))


def _of(cls: type) -> dict[str, Any]:
    document: dict[str, Any] = load.adapter(cls).json_schema()
    for definition in (document, *document.get("$defs", {}).values()):
        if definition.get("type") == "object" and "properties" in definition:
            definition["additionalProperties"] = False
            definition["required"] = []  # any field may be inherited
    document["properties"] |= _ENVELOPE
    return {"$schema": DIALECT, "title": cls.__name__, **document}


def _accept_aliases(document: dict[str, Any]) -> None:
    """Other spellings of scenario options, at the top and in the sections they belong to."""
    for name, path in aliases.ALIASES.items():
        document["properties"].setdefault(name, {"description": f"same as {path}"})
    sections = {"Parallel": "parallel", "Prefill": "phases.prefill", "Decode": "phases.decode", "Serving": "serving"}
    sections |= {"MixedPrefill": "phases.mixed.prefill"}
    for definition, section in sections.items():
        properties = document["$defs"][definition]["properties"]
        for spelling, name in aliases.NESTED[section].items():
            properties.setdefault(spelling, {"description": f"same as {name}"})
    document["$defs"]["Routing"]["properties"]["loads"]["type"] = ["array", "string"]  # or the name of a file of loads


def _kernels() -> dict[str, Any]:
    figure = quantity_schema.json_schema(units.RATIO)["anyOf"][0]
    figure["properties"]["value"]["description"] = "a number with its unit"
    values = {"type": "object", "additionalProperties": figure, "maxProperties": MAX_VALUES}
    traits = {"type": "object", "description": "what the kernel does, no fitted numbers"}
    override = {"type": "object", "properties": {"traits": traits, "values": values}, "additionalProperties": False}
    match = {"type": "object", "description": "facts that must all hold; a list accepts any of its entries, * any text"}
    entry = {
        "type": "object",
        "properties": {
            "match": match,
            "traits": traits,
            "values": values,
            "architectures": {"type": "object", "additionalProperties": override},
        },
        "additionalProperties": False,
    }
    listed = {"type": "array", "items": entry, "minItems": 1}
    properties = {"name": {"type": "string"}, KERNELS: listed, **_ENVELOPE}
    return {
        "$schema": DIALECT,
        "title": "Kernels",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
