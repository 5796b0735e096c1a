"""The numeric backend's checks as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from simulator.report.terminal import Column, print_json, print_table, rows_to_csv


class Check(Protocol):
    """What a check reports: id, what it compares, error reached, bound, and whether it passed."""

    @property
    def id(self) -> str:
        """Identity of the check (N1 ...)."""

    @property
    def what(self) -> str:
        """What is compared."""

    @property
    def error(self) -> float:
        """Error reached."""

    @property
    def bound(self) -> float:
        """Largest error allowed; 0 = exact."""

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound."""


def print_checks(checks: Sequence[Check], format: str) -> None:
    """One line per check: what, error reached, bound, passed."""
    rows = [{"id": c.id, "what": c.what, "error": c.error, "bound": c.bound, "passed": c.passed} for c in checks]
    if format == "json":
        print_json({"checks": rows})
    elif format == "csv":
        sys.stdout.write(rows_to_csv(rows))
    else:
        shown = [
            r
            | {
                "error": f"{r['error']:.1e}" if r["error"] else "0",
                "bound": f"{r['bound']:.0e}" if r["bound"] else "exact",
            }
            for r in rows
        ]
        passed = sum(bool(r["passed"]) for r in rows)
        columns = [Column(k, k, right=False) for k in ("id", "what", "error", "bound", "passed")]
        print_table(shown, columns, notes=[f"{passed} of {len(rows)} checks passed."])
