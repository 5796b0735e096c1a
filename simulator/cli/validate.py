"""``silicast validate``: error tables and plots against measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simulator.cli.options import Format, check_format
from simulator.cli.progress import progress_on


def validate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="CSV tables or folders; without: the published measurements beside the checkout."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for tables, plots and index.html.")] = None,
    format: Format = "table",
) -> None:
    """Predict FILES and compare with what was measured, by family, device, size class and stack."""
    check_format(format)
    from simulator.validation.accuracy import tables_in, validate_files
    from simulator.validation.accuracy_regenerate import published
    from simulator.validation.accuracy_report import print_accuracy, write_accuracy

    chosen = files or published()
    with progress_on("predicting", sum(1 for _ in tables_in(chosen))) as advance:
        accuracy = validate_files(chosen, advance)
    if out is not None:
        write_accuracy(accuracy, out)
    print_accuracy(accuracy, format)
