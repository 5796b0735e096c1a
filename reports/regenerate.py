"""Regenerate the reference reports: ``python reports/regenerate.py [name ...]`` (all without names)."""

from __future__ import annotations

import sys
from pathlib import Path

from simulator.report.dsa_report import write_dsa_report

FOLDER = Path(__file__).resolve().parent
REPORTS = {"dsa-vs-dense": write_dsa_report}


def main(names: list[str]) -> int:
    """Write the named reports beside this file; exit status 2 for an unknown name."""
    unknown = [n for n in names if n not in REPORTS]
    if unknown:
        sys.stderr.write(f"unknown report {', '.join(unknown)}; known: {', '.join(REPORTS)}\n")
        return 2
    for name in names or REPORTS:
        REPORTS[name](FOLDER / name)
        sys.stderr.write(f"{name}: written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
