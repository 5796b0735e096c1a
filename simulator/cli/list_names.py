"""``silicast list``: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer

from simulator.cli.options import Format, check_format


def list_names(
    kind: Annotated[
        str, typer.Argument(help="device, system, model, scenario, runtime, kernel_library, prices ...; empty = all.")
    ] = "",
    format: Format = "table",
) -> None:
    """Print the names of every profile (of KIND)."""
    check_format(format)
    from simulator.profiles.errors import fail, nearest
    from simulator.profiles.library import list_names as names_of
    from simulator.profiles.search import KINDS
    from simulator.report.terminal import Column, print_json, print_table, rows_to_csv

    singular = kind[:-1] if kind.endswith("s") and kind not in KINDS else kind
    if singular and singular not in KINDS:
        raise fail("list", 0, "", f"unknown kind of profile {nearest(kind, KINDS)}".strip(), kind, ", ".join(KINDS))
    found = {k: list(names_of(k)) for k in KINDS if not singular or k == singular}
    if format == "json":
        print_json(found)
        return
    rows = [{"kind": k, "name": n} for k, names in found.items() for n in names]
    if format == "csv":
        typer.echo(rows_to_csv(rows), nl=False)
        return
    summary = [{"kind": k, "count": len(n), "names": ", ".join(n)} for k, n in found.items() if n]
    print_table(
        summary, [Column("kind", "kind", right=False), Column("count", "n"), Column("names", "names", right=False)]
    )
