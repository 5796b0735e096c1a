"""The result folder of a run: result.json, summary.csv, config.resolved.yaml, report.html, trace.json.gz."""

from __future__ import annotations

import json
from pathlib import Path

from simulator.profiles.dump import dump_yaml
from simulator.profiles.output import make_folder, write_atomically
from simulator.report.html import render
from simulator.report.run_report import document
from simulator.report.terminal import plain, rows_to_csv
from simulator.report.trace_of import trace_bytes
from simulator.study.result import Result
from simulator.study.rows import row_of


def write_folder(result: Result, folder: Path) -> None:
    """Write every file of ``result`` into ``folder``. ProfileError: the folder cannot be written."""
    make_folder(folder)
    files: dict[str, str | bytes] = {
        "result.json": json.dumps(plain(document(result)), indent=2, ensure_ascii=False) + "\n",
        "summary.csv": rows_to_csv([row_of(result)]),
        "config.resolved.yaml": _overrides(result) + dump_yaml(plain(result.config)),
        "report.html": render(result),
        "trace.json.gz": trace_bytes(result),
    }
    for name, content in files.items():
        write_atomically(folder / name, content)


def _overrides(result: Result) -> str:
    """Overrides of other profiles, which a scenario file cannot carry, as a comment that says how to repeat them."""
    changed = next((n for n in result.notes if n.startswith("changed: ")), "")
    other = [c for c in changed.removeprefix("changed: ").split(", ") if c and not c.startswith("scenario.")]
    return "".join(f'# also: --set "{c}"\n' for c in other)
