"""``silicast sweep``: a grid over any parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import Format, Set, check_format, pairs


def sweep(
    scenario: Annotated[str, typer.Argument(help="Bundled name or path of a scenario.")],
    axis: Annotated[list[str], typer.Option("--axis", metavar="PATH=v1,v2", help="An axis of the grid; repeatable.")],
    overrides: Set = None,
    out: Annotated[Path | None, typer.Option("--out", help="Table to write: .csv or .parquet.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="SVG plot over the first numeric axis.")] = None,
    metric: Annotated[str, typer.Option("--metric", help="Column to plot and to look for crossovers in.")] = "tpot_ms",
    format: Format = "table",
) -> None:
    """Evaluate SCENARIO over the product of all axes; report where curves cross."""
    check_format(format)
    from simulator.cli.progress import progress_on
    from simulator.report.sweep_report import print_sweep, write_sweep
    from simulator.study.sweep import parse_axes, sweep_grid

    axes = parse_axes(pairs("--axis", axis))
    with progress_on("sweeping", axes.structural_points) as advance:
        grid = sweep_grid(scenario, axes, pairs("--set", overrides), advance)
    write_sweep(grid, out, plot, metric)
    print_sweep(grid, metric, format)
