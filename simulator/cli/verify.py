"""``silicast verify``: the numeric backend's checks."""

from __future__ import annotations

from typing import Annotated

import typer

from simulator.cli.options import Format, Set, check_format, pairs


def verify(
    scenario: Annotated[
        str, typer.Argument(help="Bundled name or path; its model is scaled down.")
    ] = "deepseek-v3.2-chat",
    overrides: Set = None,
    format: Format = "table",
) -> None:
    """Run the scenario's graph, scaled down, in numpy on one and on four ranks, and check that results match."""
    check_format(format)
    from simulator.numerics.verify import verify as run_checks
    from simulator.profiles.errors import ProfileError, fail
    from simulator.report.checks import print_checks
    from simulator.study.deployment import deploy

    model = deploy(scenario, pairs("--set", overrides)).model
    try:
        checks = run_checks(model)
    except ProfileError:
        raise
    except ValueError as error:  # blocks of the user's own that do not scale down or do not divide
        raise fail(f"model {model.name}", 0, "blocks", str(error)) from None
    print_checks(checks, format)
    if not all(c.passed for c in checks):
        raise typer.Exit(1)
