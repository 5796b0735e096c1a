"""``silicast compare``: the same work on several devices, ranked, with the reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import Format, Set, check_format, pairs


def compare(
    scenario: Annotated[str, typer.Argument(help="Bundled name or path of a scenario.")],
    devices: Annotated[str, typer.Option("--devices", help="Devices or systems, comma-separated; all = every device.")],
    overrides: Set = None,
    rank_by: Annotated[
        str, typer.Option("--rank-by", help="Ranking policy: output_price, latency, or a module of study/rankings.")
    ] = "output_price",
    out: Annotated[Path | None, typer.Option("--out", help="Folder for result files and a report.")] = None,
    format: Format = "table",
) -> None:
    """Rank DEVICES on SCENARIO, by default by the cost of an output token."""
    check_format(format)
    from simulator.cli.progress import progress_on
    from simulator.report.comparison import print_comparison, write_comparison
    from simulator.study.compare import compare as compare_devices
    from simulator.study.compare import expand

    names = [d.strip() for d in devices.split(",") if d.strip()]
    with progress_on("comparing", len(expand(names))) as advance:
        comparison = compare_devices(scenario, names, pairs("--set", overrides), advance, rank_by)
    if out is not None:
        write_comparison(comparison, out)
    print_comparison(comparison, format)
