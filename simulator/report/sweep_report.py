"""A sweep on the terminal, on disk and as a plot with the points where curves cross."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

from simulator.profiles.errors import fail
from simulator.profiles.output import write_atomically
from simulator.report.style import SERIES, new_figure, svg
from simulator.report.terminal import Column, cell, plain, print_json, print_table, rows_to_csv, significant
from simulator.study.axes import Axis
from simulator.study.sweep import Grid, crossover

METRICS = {
    "tpot_ms": "TPOT, ms",
    "ttft_ms": "TTFT of a step, ms",
    "mixed_step_ms": "mixed step, ms",
    "output_tok_s_per_dev": "output tok/s/device",
    "input_tok_s_per_dev": "input tok/s/device",
    "usd_per_mtok_output": "USD per million output tokens",
    "usd_per_mtok_input": "USD per million input tokens",
    "j_per_output_tok": "J per output token",
    "j_per_input_tok": "J per input token",
}


def print_sweep(grid: Grid, metric: str, format: str) -> None:
    """The grid on stdout; the table ends with the crossovers of ``metric``."""
    check_metric(grid, metric)
    if format == "json":
        print_json({"scenario": grid.scenario, "rows": list(grid.rows), "crossovers": crossovers(grid, metric)})
    elif format == "csv":
        sys.stdout.write(rows_to_csv(grid.rows))
    else:
        axes = {a.name for a in grid.axes.all}
        every = dict.fromkeys(k for row in grid.rows for k in row)
        keys = [k for k in every if k in axes or k == metric or len({row.get(k) for row in grid.rows}) > 1]
        columns = [Column(k, METRICS.get(k, k).replace("million ", "M "), right=k not in axes) for k in keys]
        notes = [
            f"{c['second']} becomes cheaper than {c['first']} in {metric} at {c['axis']} {significant(c['at'], 3)}."
            if c["at"] is not None
            else f"{c['second']} never becomes cheaper than {c['first']} in {metric} on this axis."
            for c in crossovers(grid, metric)
        ]
        same = [f"{k} {cell(grid.rows[0].get(k))}" for k in every if k not in keys]
        notes += ["Equal in all rows: " + ", ".join(same) + "."] if same else []
        print_table(grid.rows, columns, title=grid.scenario, notes=notes)


def check_metric(grid: Grid, metric: str) -> None:
    """ProfileError if no row has ``metric``."""
    known = [m for m in METRICS if any(m in row for row in grid.rows)]
    if metric not in known:
        raise fail("--metric", 0, "", "is not a column of this sweep", metric, ", ".join(known))


def crossovers(grid: Grid, metric: str) -> list[dict[str, Any]]:
    """Where the second and later curves fall below the first, along the first numeric axis."""
    axis = numeric_axis(grid)
    if axis is None:
        return []
    lines = curves(grid, axis, metric)
    names = list(lines)
    return [
        {"axis": axis.name, "first": names[0], "second": name, "at": crossover(*lines[names[0]], lines[name][1])}
        for name in names[1:]
        if np.array_equal(lines[names[0]][0], lines[name][0])
    ]


def numeric_axis(grid: Grid) -> Axis | None:
    """The first axis with at least two numeric values."""
    return next((a for a in grid.axes.all if a.numbers is not None and len(a.values) > 1), None)


def curves(grid: Grid, axis: Axis, metric: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(x, y) of every combination of the other axes, by its label."""
    others = [a for a in grid.axes.all if a is not axis]
    found: dict[str, list[tuple[float, float]]] = {}
    for row in grid.rows:
        if row.get(metric) is not None:
            label = ", ".join(str(row[a.name]) for a in others) or grid.scenario
            found.setdefault(label, []).append((float(row[axis.name]), float(row[metric])))
    return {k: (np.array([x for x, _ in v]), np.array([y for _, y in v])) for k, v in found.items()}


def write_sweep(grid: Grid, out: Path | None, plot: Path | None, metric: str) -> None:
    """The table (.csv or .parquet) and the plot (.svg). ProfileError: another suffix, or the place cannot be written."""
    if out is not None:
        if out.suffix not in (".csv", ".parquet"):
            raise fail("--out", 0, "", "unknown kind of table", out.name, ".csv, .parquet")
        write_atomically(out, rows_to_csv(grid.rows) if out.suffix == ".csv" else _parquet(grid))
    if plot is not None:
        check_metric(grid, metric)
        if plot.suffix != ".svg":
            raise fail("--plot", 0, "", "unknown kind of picture", plot.name, ".svg")
        write_atomically(plot, plot_svg(grid, metric))


def plot_svg(grid: Grid, metric: str) -> str:
    """Curves over the first numeric axis, crossovers marked. ProfileError: no numeric axis."""
    axis = numeric_axis(grid)
    if axis is None:
        raise fail("--plot", 0, "", "needs a numeric axis with two values or more")
    figure, axes = new_figure(7.2, 4.0)
    lines = curves(grid, axis, metric)
    for (label, (x, y)), colour in zip(lines.items(), SERIES * 10, strict=False):
        axes.plot(x, y, marker="o", ms=3.5, lw=1.6, color=colour, label=label)
    for c in crossovers(grid, metric):
        if c["at"] is not None and c["at"] > float(axis.values[0]):
            axes.axvline(c["at"], color="#888888", lw=0.9, ls="--")
            axes.annotate(
                f"{c['at']:,.0f}", (c["at"], axes.get_ylim()[0]), fontsize=8, xytext=(3, 4), textcoords="offset points"
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks([float(v) for v in axis.values], [_short(float(v)) for v in axis.values])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(axis.name)
    axes.set_ylabel(METRICS[metric])
    axes.legend(fontsize=8)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + svg(figure)


def _short(value: float) -> str:
    return f"{value / 1024:g}K" if value >= 1024 and value % 1024 == 0 else f"{value:g}"


def _parquet(grid: Grid) -> bytes:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ModuleNotFoundError:
        raise fail("--out", 0, "", "Parquet needs the extra: pip install 'silicast[parquet]'", allowed=".csv") from None
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([plain(r) for r in grid.rows]), buffer)
    return buffer.getvalue()
