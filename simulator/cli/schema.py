"""``silicast schema``: JSON Schema of a kind of file, for editors."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    kind: Annotated[str, typer.Argument(help="device, system, model, runtime, prices or scenario.")],
    vendor: Annotated[str, typer.Option("--vendor", help="Of a device: nvidia, google or huawei.")] = "nvidia",
) -> None:
    """Print the JSON Schema of KIND."""
    from simulator.profiles.schema import schema as schema_of
    from simulator.report.terminal import print_json

    print_json(schema_of(kind, vendor))
