"""Accuracy on the terminal and in a folder: tables as CSV and JSON, README.md, and a page that stands on its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulator.profiles.output import make_folder, write_atomically
from simulator.report.terminal import Column, print_json, print_table, rows_to_csv
from simulator.validation.accuracy import Accuracy, tables_of, tidy, worst_rows
from simulator.validation.accuracy_bound import bounds
from simulator.validation.accuracy_parameters import fitted_numbers
from simulator.validation.accuracy_text import family_order, headline, markdown_headline, markdown_table, pct

ERRORS = (
    Column("rows", "rows"),
    Column("coverage", "predicted", 3),
    Column("median", "median %", 2),
    Column("mean", "mean %", 2),
    Column("p90", "p90 %", 2),
)
FAMILY = (Column("name", "family", right=False),)
VENDOR_COLUMNS = tuple(Column(v, f"{v} median %", 2) for v in ("GPU", "TPU", "Ascend"))
WORST_COLUMNS = (
    *(Column(c, c, right=False) for c in ("family", "metric", "device", "op", "dtype", "stack", "kernel")),
    Column("ratio", "predicted / measured", 3),
    Column("bound", "bound by", right=False),
)
LEFT_OUT_TEXT = (
    "Device: fitted again without its rows; others of its generation stay. Generation: none stays, it keeps its datasheet and",
    "launch floors and takes all else from a neighbour. Stack: its rows predicted with the kernels of its closest relative;",
    "unknown stack: with those of the stack that fits them least. Rows of kernels that nothing else ran are left out here (see",
    "`alone` in [leave-one-out.csv](leave-one-out.csv)). Fits start at the shipped values, so a value that the remaining rows",
    "barely inform may carry a trace of the rows left out.",
)
NOTE = "Error of a row: |predicted / measured - 1|. A row that is not predicted lowers the share predicted."


def print_accuracy(accuracy: Accuracy, format: str) -> None:
    """Error tables on stdout as a table, one JSON document or one CSV table."""
    if format == "csv":
        sys.stdout.write(rows_to_csv(records(_rounded(tidy(accuracy.rows)))))
        return
    if format == "json":
        found = {name: records(table) for name, table in tables_of(accuracy.rows).items()}
        print_json({"by": found, "worst": worst_lines(accuracy)})
        return
    tables = tables_of(accuracy.rows)
    print_table(headline(accuracy.rows), (*FAMILY, *ERRORS, *VENDOR_COLUMNS), "Error by family", [NOTE, ""])
    for by in ("device", "size", "stack"):
        lines = _named(tables[by])
        print_table(lines, (*FAMILY, Column(by, by, right=False), *ERRORS), f"Error by {by}")
    print_table(worst_lines(accuracy), WORST_COLUMNS, "Rows farthest off")
    print_table(
        _reasons(accuracy.rows), (*FAMILY, Column("rows", "rows"), Column("reason", "why not predicted", right=False))
    )


def write_accuracy(accuracy: Accuracy, folder: Path, left_out: Sequence[Mapping[str, Any]] = ()) -> None:
    """index.html, README.md, accuracy.csv, worst-rows.csv in ``folder``; no measured value is among them.

    left_out: lines of the leave-one-out table, if it was made. ProfileError: the folder cannot be written.
    """
    from simulator.validation.accuracy_page import page

    make_folder(folder)
    worst = worst_lines(accuracy)
    files = {
        "accuracy.csv": rows_to_csv(records(_rounded(tidy(accuracy.rows)))),
        "worst-rows.csv": rows_to_csv(worst),
        "README.md": readme(accuracy.rows, left_out),
        "index.html": page(accuracy.rows, worst, left_out),
    }
    for name, content in files.items():
        write_atomically(folder / name, content)


def worst_lines(accuracy: Accuracy) -> list[dict[str, Any]]:
    """The rows farthest off: device, operator, stack, ratio of predicted to measured, and what bound the prediction."""
    worst = worst_rows(accuracy.rows).reset_index(drop=True)
    bound = [""] * len(worst)
    for key, group in worst.groupby(["table", "family"], sort=False):
        table, family = map(str, key)
        rows = accuracy.tables[table].iloc[group["position"].to_numpy()]
        for line, unit in zip(group.index.tolist(), bounds(family, rows), strict=True):
            bound[line] = unit
    worst = worst.assign(ratio=(worst["predicted"] / worst["measured"]).round(3), bound=bound)
    return records(worst[[c.key for c in WORST_COLUMNS]])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as dicts with text keys; NaN becomes None."""
    found = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in found]


def readme(rows: pd.DataFrame, left_out: Sequence[Mapping[str, Any]]) -> str:
    """README.md of the report: headline table and how it came about."""
    hardware, stack = fitted_numbers()
    lines = [
        "# Accuracy against published measurements",
        "",
        "Every row of the published tables is predicted without its measured columns and compared. Error of a row:",
        "|predicted / measured - 1|; p90: nine in ten rows are closer; the last three columns are medians by vendor.",
        f"Efficiencies of architectures ({hardware}) and values of software stacks ({stack:,}) were fitted on these tables; the",
        "second table shows what is reached on devices, generations and stacks that the fit did not see.",
        "Pictures and tables by device, size and stack: [index.html](index.html); all tables: [accuracy.csv](accuracy.csv).",
        "Regenerate with `python reports/regenerate.py accuracy` (the measurements themselves are not part of this project).",
        "",
        markdown_headline(rows),
        "",
    ]
    if left_out:
        lines += ["## What no fit saw", "", *LEFT_OUT_TEXT, "", markdown_left_out(left_out), ""]
    return "\n".join(lines)


def markdown_left_out(left_out: Sequence[Mapping[str, Any]]) -> str:
    """Leave-one-out errors by family as a Markdown table: median (90th percentile), rows, for each kind."""
    from simulator.validation.leave_one_out import KINDS, by_kind

    def cell(line: Mapping[str, Any] | None) -> str:
        return "-" if line is None else f"{pct(line['median'])} (p90 {line['p90']:.0f}%, {line['rows']:,} rows)"

    entries = sorted(by_kind(left_out), key=lambda entry: family_order(entry["family"]))
    heads = ["family", *(f"{kind} left out" for kind in KINDS[:3]), KINDS[3]]
    return markdown_table(heads, [[e["family"], *(cell(e.get(kind)) for kind in KINDS)] for e in entries])


def left_out_sentence(left_out: Sequence[Mapping[str, Any]]) -> str:
    """What no fit saw, in a sentence; "" without leave-one-out lines."""
    from simulator.validation.leave_one_out import DEVICE, FEWEST_POOLED, GENERATION, by_family

    lines = [r for r in by_family(left_out) if r["rows"] >= FEWEST_POOLED]
    medians = {kind: [float(r["median"]) for r in lines if r["kind"] == kind] for kind in (DEVICE, GENERATION)}
    if not all(medians.values()):
        return ""
    spans = {kind: f"{min(m):.0f} to {max(m):.0f}%" for kind, m in medians.items()}
    return (
        f"Left out of the fit, and predicted with what the others say: a device whose generation stays, median {spans[DEVICE]} "
        f"by family; a whole generation (its datasheet and launch floors known), {spans[GENERATION]}."
    )


def _named(table: pd.DataFrame) -> list[dict[str, Any]]:
    from simulator.validation.accuracy_text import label

    return [r | {"name": label(r["family"], r["metric"])} for r in records(table)]


def _reasons(rows: pd.DataFrame) -> list[dict[str, Any]]:
    missing = rows[~np.isfinite(rows["error"])]
    counts = missing.groupby(["family", "reason"], sort=False).size().sort_values(ascending=False)
    return [{"name": f, "reason": r, "rows": int(n)} for (f, r), n in list(counts.items())[:20]]


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        coverage=table["coverage"].round(4), **{c: table[c].round(2) for c in ("median", "mean", "p90")}
    )
