"""``silicast convert``: a Hugging Face config.json becomes a model YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def convert(
    file: Annotated[Path, typer.Argument(help="A model's config.json.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Model YAML to write; without it the YAML goes to stdout.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the model; empty = the file's folder.")] = "",
    source: Annotated[str, typer.Option("--source", help="Where the config comes from, kept in the YAML.")] = "",
) -> None:
    """Convert FILE and name every key that has no place in a model description."""
    import json

    from simulator.models.convert import from_hugging_face
    from simulator.profiles.dump import dump_yaml
    from simulator.profiles.errors import fail
    from simulator.profiles.output import write_atomically

    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise fail(str(file), 0, "", f"cannot be read as JSON: {error}") from None
    if not isinstance(config, dict):
        raise fail(str(file), 0, "", "is not a config.json", type(config).__name__, "a JSON object")
    try:
        converted = from_hugging_face(
            config, name or file.resolve().parent.name, source or f"converted from {file.name}"
        )
    except ValueError as error:
        raise fail(str(file), 0, "", str(error)) from None
    text = dump_yaml(converted.document)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(out, text)
    for assumed in converted.assumed:
        typer.echo(f"assumed: {assumed}", err=True)
    if converted.unmapped:
        typer.echo(f"not mapped: {', '.join(converted.unmapped)}", err=True)
