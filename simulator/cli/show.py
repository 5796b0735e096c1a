"""``silicast show``: one profile, every figure with its kind and source; for a model its parameter and FLOP counts."""

from __future__ import annotations

from typing import Annotated

import typer

from simulator.cli.options import Format, check_format


def show(
    kind: Annotated[str, typer.Argument(help="device, system, model, runtime, kernel_library, prices or scenario.")],
    name: Annotated[str, typer.Argument(help="Bundled name or path of a YAML file.")],
    kv_format: Annotated[str, typer.Option("--kv-format", help="Format of a model's KV cache; empty = native.")] = "",
    format: Format = "table",
) -> None:
    """Show the profile NAME of KIND."""
    check_format(format)
    from simulator.profiles.errors import fail, nearest
    from simulator.profiles.search import KINDS

    if kind not in KINDS:
        message = ", ".join(filter(None, ("unknown kind of profile", nearest(kind, KINDS))))
        raise fail("show", 0, "", message, kind, ", ".join(KINDS))
    if kind == "model":
        _show_model(name, kv_format, format)
    elif kind in ("scenario", "runtime"):
        _show_fields(kind, name, format)
    else:
        _show_figures(kind, name, format)


def _show_model(name: str, kv_format: str, format: str) -> None:
    from dataclasses import asdict

    from simulator.models.parameters import summary
    from simulator.profiles.library import load_model
    from simulator.report.terminal import Column, print_json, print_table, rows_to_csv

    model = load_model(name)
    row = {"model": model.name, **asdict(summary(model, kv_format))}
    if format == "json":
        print_json(row)
    elif format == "csv":
        typer.echo(rows_to_csv([row]), nl=False)
    else:
        lines = [{"key": k, "value": v} for k, v in row.items()]
        print_table(lines, [Column("key", "property", right=False), Column("value", "value", 8)])


def _show_fields(kind: str, name: str, format: str) -> None:
    from simulator.profiles.fields_of import flat_fields
    from simulator.profiles.library import load_runtime, load_scenario
    from simulator.report.terminal import Column, print_json, print_table, rows_to_csv

    loaded = load_scenario(name) if kind == "scenario" else load_runtime(name)
    rows = [{"field": k, "value": v} for k, v in flat_fields(loaded).items()]
    rows += [{"field": f"kernels.{k}", "value": v} for k, v in _kernel_lines(loaded.name, kind).items()]
    if format == "json":
        print_json({r["field"]: r["value"] for r in rows})
    elif format == "csv":
        typer.echo(rows_to_csv(rows), nl=False)
    else:
        print_table(rows, [Column("field", "field", right=False), Column("value", "value", 5, right=False)])


def _kernel_lines(name: str, kind: str) -> dict[str, str]:
    """Family -> how many kernels a runtime has, on how many figures of its own, and whose libraries they call."""
    from simulator.profiles.kernels import families, load_kernels

    if kind != "runtime":
        return {}
    tables = {family: load_kernels(name, family) for family in families(name)}
    return {family: table.described() for family, table in tables.items()}


def _show_figures(kind: str, name: str, format: str) -> None:
    from simulator.profiles import kernel_library
    from simulator.profiles.library import figures_of
    from simulator.report.terminal import Column, print_json, print_table, rows_to_csv

    figures = kernel_library.values(name)[0] if kind == kernel_library.KIND else figures_of(name, kind)
    rows = [
        {
            "figure": path,
            "value": f.text,
            "kind": f.kind,
            "source": f.source,
            "note": f.note or "",
            "where": f"{f.file}:{f.line}",
        }
        for path, f in figures.items()
    ]
    if format == "json":
        print_json({"name": name, "figures": rows})
    elif format == "csv":
        typer.echo(rows_to_csv(rows), nl=False)
    else:
        estimated = sum(r["kind"] == "estimated" for r in rows)
        print_table(
            rows,
            [Column(k, k, right=False) for k in ("figure", "value", "kind", "source", "note")],
            notes=[f"{estimated} of {len(rows)} figures are estimated."],
        )
