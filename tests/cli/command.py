"""Runs the command line in this process, as ``main`` would, and captures what a user sees."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass

from simulator.cli.main import main


@dataclass(frozen=True)
class Outcome:
    status: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if line]


def silicast(*arguments: str) -> Outcome:
    """Exit status and output of ``silicast arguments``."""
    stdout, stderr = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["silicast", *arguments]
    status = 0
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            main()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
    finally:
        sys.argv = before
    return Outcome(status, stdout.getvalue(), stderr.getvalue())
