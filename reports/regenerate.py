"""Regenerate the reference reports: ``python reports/regenerate.py [name ...]`` (without names: all but the slow ones).

``accuracy`` and ``leave-one-out`` need the published measurements beside the checkout (or in SILICAST_SHARED); they say so
and leave everything as it is where those are absent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from simulator.report.dsa_report import write_dsa_report
from simulator.validation.accuracy_regenerate import regenerate_accuracy, regenerate_left_out
from simulator.validation.peaks import write_peaks

FOLDER = Path(__file__).resolve().parent


def say(text: str) -> None:
    """One line of progress on stderr."""
    sys.stderr.write(f"{text}\n")


REPORTS: dict[str, Callable[[], None]] = {
    "dsa-vs-dense": lambda: write_dsa_report(FOLDER / "dsa-vs-dense"),
    "accuracy": lambda: regenerate_accuracy(FOLDER / "accuracy", say),
    "peaks": lambda: write_peaks(FOLDER / "peaks"),
    "leave-one-out": lambda: regenerate_left_out(FOLDER / "accuracy", say),
}
SLOW = ("leave-one-out",)  # some minutes; run it before ``accuracy``, which shows its table


def main(names: list[str]) -> int:
    """Write the named reports beside this file; exit status 2 for an unknown name."""
    unknown = [n for n in names if n not in REPORTS]
    if unknown:
        say(f"unknown report {', '.join(unknown)}; known: {', '.join(REPORTS)}")
        return 2
    for name in names or [n for n in REPORTS if n not in SLOW]:
        REPORTS[name]()
        say(f"{name}: done")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
