"""Options that several verbs share, and how they are read."""

from __future__ import annotations

from typing import Annotated

import typer

Format = Annotated[str, typer.Option("--format", help="table, json or csv.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Override any field; repeatable.")]


def check_format(value: str) -> str:
    """``value`` if it is a known output format. ProfileError otherwise."""
    from simulator.profiles.errors import fail
    from simulator.report.terminal import FORMATS

    if value not in FORMATS:
        raise fail("--format", 0, "", "unknown output format", value, ", ".join(FORMATS))
    return value


def pairs(option: str, items: list[str] | None) -> dict[str, str]:
    """``["a.b=1", ...]`` as a dict. ProfileError: no equals sign, an empty path, or one path twice."""
    from simulator.profiles.errors import fail

    found: dict[str, str] = {}
    for item in items or []:
        path, sign, value = item.partition("=")
        if not sign or not path.strip():
            raise fail(option, 0, "", "is not PATH=VALUE", item, "for example decode.batch=256")
        if path.strip() in found:
            raise fail(option, 0, path.strip(), "given twice", item)
        found[path.strip()] = value.strip()
    return found
