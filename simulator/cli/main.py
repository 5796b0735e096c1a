"""The ``silicast`` command: one verb a file. Bad input ends in one line on stderr and exit status 2."""

from __future__ import annotations

import gc
import sys

import typer

from simulator.cli import VERBS

app = typer.Typer(
    name="silicast",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich costs more than half of the 0.3 s that help may take
    help="Forecast what silicon will do: latency, energy and cost of LLM work on GPU, TPU and Ascend.",
)
for _verb in VERBS:
    app.command(name=_verb.name, help=_verb.help)(_verb.function)


def main() -> None:
    """Entry point: run the command line; bad input is one message and exit status 2, never a traceback."""
    from simulator.profiles.errors import ProfileError

    gc.set_threshold(1_000_000, 20, 20)  # graphs are many small objects that live to the end: rarely worth a search
    try:
        app(standalone_mode=True)
    except ProfileError as error:
        sys.stderr.write(f"silicast: {error.faults[0]}\n")
        for fault in error.faults[1:]:
            sys.stderr.write(f"silicast: also {fault}\n")
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
