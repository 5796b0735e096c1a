"""A comparison on the terminal and on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from simulator.profiles.output import make_folder, write_atomically
from simulator.report.terminal import Column, plain, print_json, print_table, rows_to_csv
from simulator.study.compare import Comparison
from simulator.study.result import PhaseResult
from simulator.study.rows import Row

COLUMNS = (
    Column("device", "device", right=False),
    Column("num_devices", "n"),
    Column("fits_text", "fits", right=False),
    Column("ttft_ms", "TTFT\nms"),
    Column("tpot_ms", "TPOT\nms"),
    Column("input_tok_s_per_dev", "tok/s in\n/device", 3),
    Column("output_tok_s_per_dev", "tok/s out\n/device", 3),
    Column("j_per_output_tok", "J/tok\nout", 2),
    Column("usd_per_mtok_input", "$/Mtok\nin", 2),
    Column("usd_per_mtok_output", "$/Mtok\nout", 2),
    Column("bound_text", "binds\n(prefill, decode)", right=False),
    Column("fidelity", "fidelity", right=False),
    Column("estimated_share_pct", "est.\n%", 2),
    Column("error_band_pct", "± %", 2),
)

READING = (
    "fits: on the devices asked for, or the fewest on which it does (n). TTFT and TPOT are step times without queueing.",
    "± %: expected error of the slower phase, from rows of comparable kernels and of measured serving steps. "
    "est. %: estimates among the figures of device, system and price (explain names them).",
)


def print_comparison(comparison: Comparison, format: str) -> None:
    """The comparison on stdout as table, json or csv."""
    if format == "json":
        print_json(document(comparison))
    elif format == "csv":
        sys.stdout.write(rows_to_csv(comparison.rows))
    else:
        rows = [shown(r) for r in comparison.rows]
        print_table(rows, COLUMNS, title=f"{comparison.scenario}, {comparison.order}", notes=notes(comparison))


def shown(row: Row) -> Row:
    """``row`` with the texts that the columns print."""
    return dict(row) | {"fits_text": _fits(row), "bound_text": _bounds(row)}


def document(comparison: Comparison) -> dict[str, Any]:
    """JSON document: scenario, rows, and the devices that cannot run the work."""
    failures = [{"device": d, "reason": reason} for d, reason in comparison.failures]
    return {"scenario": comparison.scenario, "rows": list(comparison.rows), "failures": failures}


def _work(phase: PhaseResult) -> str:
    """What a phase does, in words."""
    if phase.phase == "mixed":
        prompts = f"{phase.input_tokens:,.0f} new tokens of {phase.requests - phase.decoding} prompts"
        return f"mixed = one step of {phase.decoding} decoding requests and {prompts}"
    each = "prompt tokens" if phase.phase == "prefill" else "tokens of context"
    steps = f"{phase.chunks.count} steps" if phase.chunks else "one step"
    return f"{phase.phase} = {steps} of {phase.requests} requests, {phase.context:,.0f} {each} each"


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know to read the table."""
    found = []
    if comparison.rows:
        first = comparison.results[0]
        found.append(
            "; ".join(_work(phase) for phase in first.phases.values()) + " (requests rounded up to one per rank)."
        )
        found.append(
            f"Cost basis: {first.cost_basis}. tok/s, J and W are per device; a device is a GPU, a TPU chip or an Ascend die."
        )
        found += READING
    found += _remarks(comparison)
    found += [f"{device}: not run, {reason}" for device, reason in comparison.failures]
    return found


def _remarks(comparison: Comparison) -> list[str]:
    """Notes of the results, each once with the devices it concerns."""
    devices: dict[str, list[str]] = {}
    for result in comparison.results:
        for note in result.notes:
            if not note.startswith("changed"):
                devices.setdefault(note.replace(f" for {result.device} ", " "), []).append(result.device)
    return [f"{', '.join(names)}: {note}." for note, names in devices.items()]


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """comparison.html, comparison.json and comparison.csv in ``folder``."""
    from simulator.report.comparison_page import render

    make_folder(folder)
    write_atomically(folder / "comparison.html", render(comparison))
    write_atomically(
        folder / "comparison.json", json.dumps(plain(document(comparison)), indent=2, ensure_ascii=False) + "\n"
    )
    write_atomically(folder / "comparison.csv", rows_to_csv(comparison.rows))


def _fits(row: Row) -> str:
    """Whether the model fits on the devices asked for, else on how many it does."""
    if not row["fits"]:
        return f"from {row['smallest_num_devices']}" if row["smallest_num_devices"] else "no"
    return "yes" if row["num_devices"] <= row["asked_num_devices"] else f"from {row['num_devices']}"


def _bounds(row: Row) -> str:
    """One line a phase."""
    return "\n".join(str(row["bound"]).replace(" (", " ").replace(")", "").split(" / "))
