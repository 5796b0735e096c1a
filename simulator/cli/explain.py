"""``silicast explain``: time, bytes and joules by operator, which number came from where, what binds."""

from __future__ import annotations

from typing import Annotated

import typer

from simulator.cli.options import Format, Set, check_format, pairs


def explain(
    scenario: Annotated[str, typer.Argument(help="Bundled name or path of a scenario.")],
    overrides: Set = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Operators to show per phase.")] = 20,
    format: Format = "table",
) -> None:
    """Explain where the time, bytes and joules of SCENARIO go and what each number rests on."""
    check_format(format)
    from simulator.report.explanation import print_explanation
    from simulator.study.simulate import simulate

    print_explanation(simulate(scenario, pairs("--set", overrides)), top, format)
