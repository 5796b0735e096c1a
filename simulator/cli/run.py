"""``silicast run``: the main job on one deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import Format, Set, check_format, pairs


def run(
    scenario: Annotated[str, typer.Argument(help="Bundled name or path of a scenario.")],
    overrides: Set = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for result.json, report.html, trace.json.gz ...")
    ] = None,
    ignore_memory: Annotated[
        bool, typer.Option("--ignore-memory", help="Simulate a deployment that does not fit in memory all the same.")
    ] = False,
    format: Format = "table",
) -> None:
    """Latency, energy, cost, memory fit, and where the time goes."""
    check_format(format)
    from simulator.report.run_report import print_result
    from simulator.study.simulate import require_fit, simulate

    result = simulate(scenario, pairs("--set", overrides))
    if not ignore_memory:
        require_fit(result)
    if out is not None:
        from simulator.report.folder import write_folder

        write_folder(result, out)
    print_result(result, format)
