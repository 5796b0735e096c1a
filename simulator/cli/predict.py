"""``silicast predict``: predicted columns for every row of a measurement file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def predict(
    file: Annotated[Path, typer.Argument(help="CSV table; its columns decide the family of measurements.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the table with predicted_* columns.")],
) -> None:
    """Predict every row of FILE into OUT; measured columns are never read."""
    from simulator.validation.predict.table import predict_file

    counts = predict_file(file, out)
    typer.echo(
        f"{file.name}: {counts['predicted']} of {counts['rows']} rows predicted, {counts['unsupported']} unsupported",
        err=True,
    )
