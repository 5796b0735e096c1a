"""The reference accuracy report, the error bands and the table of the project's README, written by one command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from simulator.profiles import search
from simulator.profiles.errors import fail
from simulator.profiles.output import make_folder, write_atomically
from simulator.report.terminal import rows_to_csv
from simulator.validation.accuracy import validate_files
from simulator.validation.accuracy_bands import bands_text
from simulator.validation.accuracy_report import left_out_sentence, write_accuracy
from simulator.validation.accuracy_text import between_markers, markdown_headline
from simulator.validation.leave_one_out import read_lines, run
from simulator.validation.leave_one_out import table as left_out_table

ENVIRONMENT = "SILICAST_SHARED"
LEFT_OUT = "leave-one-out.csv"


def measurements(checkout: Path | None = None) -> Path | None:
    """Folder of the published measurements: in SILICAST_SHARED or beside the checkout; None where there is none.

    checkout: where reports are written; default: where the profiles come from (not the same once installed).
    """
    shared = Path(os.environ.get(ENVIRONMENT) or (checkout or search.bundled()).parent / "shared")
    folder = shared / "measurements"
    return folder if folder.is_dir() else None


def published() -> list[Path]:
    """``measurements`` as files to validate. ProfileError where there are none."""
    folder = measurements()
    if folder is None:
        allowed = f"CSV tables or folders, or the measurements in ${ENVIRONMENT}"
        raise fail("FILES", 0, "", "no measurements given, and none beside this checkout", allowed=allowed)
    return [folder]


def regenerate_accuracy(folder: Path, say: Callable[[str], None]) -> None:
    """Report in ``folder``, and in its checkout hardware_profiles/error-bands.yaml and the table of README.md."""
    root = _checkout(folder)
    source = measurements(root)
    if source is None:
        say(_absent())
        return
    left_out = read_lines(folder / LEFT_OUT)
    accuracy = validate_files([source], lambda name: say(f"predicting {name}"))
    write_accuracy(accuracy, folder, left_out)
    write_atomically(root / "hardware_profiles" / "error-bands.yaml", bands_text(accuracy.rows, left_out))
    readme = root / "README.md"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        table = "\n\n".join(filter(None, (markdown_headline(accuracy.rows), left_out_sentence(left_out))))
        write_atomically(readme, between_markers(text, table))


def regenerate_left_out(folder: Path, say: Callable[[str], None]) -> None:
    """leave-one-out.csv in ``folder``: every fit again without each device, generation and stack (some minutes)."""
    source = measurements(_checkout(folder))
    if source is None:
        say(_absent())
        return
    make_folder(folder)
    scores = []
    for name, part in run(source):
        say(f"left out: {name}: {len(part)} rows")
        scores.append(part)
    write_atomically(folder / LEFT_OUT, rows_to_csv(left_out_table(scores)))


def _checkout(folder: Path) -> Path:
    """The checkout of ``folder``, a report of its reports/."""
    return folder.resolve().parents[1]


def _absent() -> str:
    return f"skipped: the published measurements are not beside this checkout (set {ENVIRONMENT})"
