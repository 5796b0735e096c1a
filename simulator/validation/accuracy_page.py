"""The accuracy page: what was measured, how to read it, headline, pictures, tables, leave-one-out, rows farthest off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from simulator.report.html import environment
from simulator.validation.accuracy import SIZES, summarise, summary
from simulator.validation.accuracy_figures import scatter
from simulator.validation.accuracy_parameters import efficiencies, fitted_numbers, stack_values
from simulator.validation.accuracy_text import VENDOR_NAMES, WHAT, family_order, headline, label

SHADES = ((5.0, "g1"), (10.0, "g2"), (20.0, "g3"), (float("inf"), "g4"))
FEW = 10  # rows below which a stack is not listed


def page(rows: pd.DataFrame, worst: Sequence[Mapping[str, Any]], left_out: Sequence[Mapping[str, Any]]) -> str:
    """index.html, self-contained."""
    kernels = rows[rows["metric"] == "us"]
    found = environment()
    found.filters["shade"] = shade
    shown = [r for r in headline(rows) if r["coverage"] > 0]
    return found.get_template("accuracy.html.j2").render(
        overall=summary(kernels["error"].to_numpy(dtype=np.float64)),
        devices=sorted(set(rows["device"])),
        vendors=VENDOR_NAMES,
        groups=_groups(rows, shown),
        missing=[r for r in headline(rows) if r["coverage"] == 0],
        by_device=[(v, _matrix(part, "device", sorted(set(part["device"])))) for v, part in _vendors(rows)],
        by_size=_matrix(rows[rows["size"] != ""], "size", [name for name, _ in SIZES]),
        by_stack=_stacks(rows),
        worst=worst,
        left_out=_left_out(left_out),
        parameters=_parameters(len(kernels)),
        cases=[r for r in left_out if r["left_out"] != "all"],
    )


def _parameters(rows: int) -> dict[str, Any]:
    """How many numbers were fitted, and on how many rows each rests."""
    hardware, stack = fitted_numbers()
    architectures = [p for p in efficiencies() if p.calibrated]
    families = [p for p in stack_values() if p.calibrated]
    return {
        "hardware": hardware,
        "stack": stack,
        "rows_each": rows / max(hardware + stack, 1),
        "most_hardware": max(p.total for p in architectures),
        "most_stack": max(p.most for p in families),
        "architectures": architectures,
        "families": sorted(families, key=lambda p: (p.owner, family_order(p.family))),
    }


def shade(value: float | None) -> str:
    """Class of a cell by its error in percent."""
    if value is None or not np.isfinite(value):
        return ""
    return next(name for limit, name in SHADES if value <= limit)


def _groups(rows: pd.DataFrame, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Headline lines and pictures of kernels, and of whole deployments."""
    kernels = [r for r in lines if r["metric"] == "us"]
    whole = [r for r in lines if r["metric"] != "us"]
    found: list[dict[str, Any]] = [
        {"name": "Kernels, collectives and transfers", "whole": False, "lines": kernels},
        {"name": "Whole deployments, power and training", "whole": True, "lines": whole},
    ]
    return [group | {"pictures": _pictures(rows, group["lines"])} for group in found if group["lines"]]


def _pictures(rows: pd.DataFrame, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        part = rows[(rows["family"] == line["family"]) & (rows["metric"] == line["metric"])]
        found.append({"name": line["name"], "line": line, "svg": scatter(part)})
    return found


def _vendors(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    parts = [(v, rows[rows["vendor"] == v]) for v in VENDOR_NAMES]
    return [(v, part) for v, part in parts if len(part)]


def _matrix(rows: pd.DataFrame, by: str, columns: Sequence[str]) -> dict[str, Any]:
    """Median error by family and one other column; only columns with a predicted row."""
    table = summarise(rows, ["family", "metric", by])
    table = table[table["coverage"] > 0]
    used = [c for c in columns if c in set(table[by])]
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for r in table.to_dict("records"):
        cells = lines.setdefault((r["family"], r["metric"]), {})
        cells[str(r[by])] = (r["median"], r["p90"], int(r["rows"]))
    ordered = sorted(lines.items(), key=lambda item: family_order(item[0][0]))
    named = [{"name": label(*key), "cells": [cells.get(c) for c in used]} for key, cells in ordered]
    return {"columns": used, "lines": named}


def _stacks(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Families with their stacks and kernels of at least FEW rows."""
    sized = rows[rows["size"] != ""]
    found = []
    for family in sorted(set(sized["family"]), key=family_order):
        part = sized[sized["family"] == family].assign(kernel=lambda t: t["kernel"].str.slice(0, 44))
        table = summarise(part, ["vendor", "stack", "kernel"])
        table = table[(table["rows"] >= FEW) & (table["coverage"] > 0)].sort_values(["vendor", "stack", "kernel"])
        if len(table):
            found.append({"name": family, "what": WHAT.get(family, ""), "lines": table.to_dict("records")})
    return found


def _left_out(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a family with the cells of each kind of leave-one-out, None where there is none."""
    if not lines:
        return []
    from simulator.validation.leave_one_out import KINDS, by_kind

    found = [entry | {"cells": [entry.get(kind) for kind in KINDS]} for entry in by_kind(lines)]
    return sorted(found, key=lambda entry: family_order(entry["family"]))
