"""Results on stdout: a rich table for people, JSON or CSV for programs. Deterministic; progress belongs on stderr."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORMATS = ("table", "json", "csv")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a printed table: key in the row, header, how many significant digits, alignment."""

    key: str
    header: str
    digits: int = 3
    right: bool = True


def significant(value: float, digits: int) -> str:
    """``value`` with ``digits`` significant digits, thousands grouped, no exponent."""
    if math.isnan(value) or math.isinf(value):
        return "-"
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, decimals)
    return f"{rounded:,.{max(decimals, 0)}f}"


def cell(value: Any, digits: int = 3) -> str:
    """Text of one table cell."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return significant(value, digits)
    return str(value)


def plain(value: Any) -> Any:
    """``value`` with numpy scalars and non-finite floats made fit for JSON (non-finite = null)."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(plain(document), indent=2, ensure_ascii=False, sort_keys=False) + "\n")


def rows_to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV text of flat rows; the union of keys in order of first appearance."""
    keys = list(dict.fromkeys(k for row in rows for k in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=keys, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: "" if v is None else v for k, v in plain(row).items()})
    return buffer.getvalue()


def print_table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], title: str = "", notes: Sequence[str] = ()
) -> None:
    """A rich table on stdout, then its notes. The width follows COLUMNS where stdout is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else int(os.environ.get("COLUMNS", "160"))
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
    if title:
        console.print(title, style="bold" if sys.stdout.isatty() else "")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column.header, justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        table.add_row(*[cell(row.get(c.key), c.digits) for c in columns])
    console.print(table)
    for note in notes:
        console.print(note, style="dim" if sys.stdout.isatty() else "")
