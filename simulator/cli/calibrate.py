"""``silicast calibrate``: fit the efficiencies of a device from measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    device: Annotated[str, typer.Argument(help="Device whose architecture is fitted.")],
    measurements: Annotated[Path, typer.Option("--measurements", help="Folder of CSV tables.")],
    out: Annotated[Path, typer.Option("--out", help="YAML fragment to write.")] = Path("calibrated.yaml"),
) -> None:
    """Fit DEVICE's efficiencies; prints the error before and after on rows that the fit did not see."""
    from simulator.validation.calibrate import calibrate_device

    for line in calibrate_device(device, measurements, out):
        typer.echo(line)
