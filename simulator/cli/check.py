"""``silicast check``: lint profile and workload files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import Format, check_format


def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files or folders; empty = the bundled ones.")] = None,
    format: Format = "table",
) -> None:
    """Check every YAML file below PATHS; exit status 2 if anything is wrong."""
    check_format(format)
    from simulator.models.user_fault import faults_in
    from simulator.profiles.check import check as check_paths
    from simulator.profiles.check import files_below
    from simulator.profiles.search import bundled
    from simulator.report.terminal import print_json

    root = bundled()
    wanted = paths or [root / "hardware_profiles", root / "workloads"]
    faults = check_paths(wanted)
    faults = list(dict.fromkeys(faults + [f for file in files_below(wanted) for f in faults_in(file)]))
    if format == "json":
        print_json([{"file": f.file, "line": f.line, "field": f.field, "message": str(f)} for f in faults])
    else:
        for fault in faults:
            typer.echo(str(fault), err=True)
        typer.echo(f"{len(faults)} faults" if faults else "clean", err=bool(faults))
    if faults:
        raise typer.Exit(2)
