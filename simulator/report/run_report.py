"""The outcome of one scenario on the terminal: headline, where the time goes, memory, what the numbers rest on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from simulator.report.terminal import Column, print_json, print_table, rows_to_csv, significant
from simulator.study.result import OperatorResult, PhaseResult, Result
from simulator.study.rows import row_of

HEADLINE = (
    ("ttft_ms", "TTFT, prefill step", "ms"),
    ("tpot_ms", "TPOT, decode step", "ms"),
    ("mixed_step_ms", "mixed step", "ms"),
    ("input_tok_s_per_dev", "input tokens", "tok/s/device"),
    ("output_tok_s_per_dev", "output tokens", "tok/s/device"),
    ("j_per_input_tok", "energy", "J/input token"),
    ("j_per_output_tok", "energy", "J/output token"),
    ("usd_per_mtok_input", "cost", "USD per million input tokens"),
    ("usd_per_mtok_output", "cost", "USD per million output tokens"),
    ("usd_per_mchar_input", "cost", "USD per million characters read"),
    ("usd_per_mchar_output", "cost", "USD per million characters written"),
    ("power_w_per_dev", "power", "W/device"),
)


def document(result: Result) -> dict[str, Any]:
    """JSON document of a run: the row, then operators, phases and provenance."""
    return {
        **row_of(result),
        "ranks": result.ranks,
        "formats": dict(result.formats),
        "phases": {name: phase_document(p) for name, p in result.phases.items()},
        "operators": [operator_document(name, o) for name, p in result.phases.items() for o in p.operators],
        "notes": list(result.notes),
        "estimated_figures_list": list(result.estimated_figures),
    }


def phase_document(phase: PhaseResult) -> dict[str, Any]:
    """JSON of one phase."""
    return {
        "step_ms": phase.seconds * 1e3,
        "requests": phase.requests,
        "tokens": phase.tokens,
        "context": phase.context,
        "chunks": None if phase.chunks is None else asdict(phase.chunks),
        "roofline_ms": phase.roofline_seconds * 1e3,
        "critical_path_ms": {k: v * 1e3 for k, v in phase.exposed.items()},
        "energy_j_per_device": {k: float(v) for k, v in phase.energy.split().items()},
        "memory_gb_per_rank": {k: v / 1e9 for k, v in phase.memory.parts.items()},
        "memory_capacity_gb": phase.memory.capacity / 1e9,
        "fits": phase.memory.fits,
        "bound": phase.bound,
        "error_band_pct": phase.band_pct,
        "experts": None if phase.experts is None else asdict(phase.experts),
    }


def operator_document(phase: str, o: OperatorResult) -> dict[str, Any]:
    """JSON of one operator."""
    return {
        "phase": phase,
        "name": o.name,
        "stage": o.stage,
        "layer_kind": o.layer_kind,
        "family": o.family,
        "count": o.count,
        "us": o.seconds * 1e6,
        "total_ms": o.total_seconds * 1e3,
        "bound": o.bound,
        "gflop": o.flops / 1e9,
        "hbm_mb": o.hbm_bytes / 1e6,
        "wire_mb": o.wire_bytes / 1e6,
        "joules": o.joules,
        "kernel": o.kernel,
        "fidelity": o.fidelity,
        "error_band_pct": o.band_pct,
    }


def print_result(result: Result, format: str) -> None:
    """The result on stdout as table, json or csv."""
    if format == "json":
        print_json(document(result))
        return
    row = row_of(result)
    if format == "csv":
        sys.stdout.write(rows_to_csv([row]))
        return
    _print_headline(result, row)
    for phase in result.phases.values():
        _print_time(phase)
    _print_memory(result)


def _print_headline(result: Result, row: Mapping[str, Any]) -> None:
    lines = [
        {"what": what, "value": significant(row[key], 3), "unit": unit}
        for key, what, unit in HEADLINE
        if row[key] is not None
    ]
    where = f"{result.num_devices} x {result.device} ({result.system}, {result.runtime}, {row['parallel']})"
    title = f"{result.scenario}: {result.model} on {where}"
    notes = [
        f"Expected error ± {row['error_band_pct']:.0f} % ({row['fidelity']}); binds: {row['bound']}.",
        f"Cost basis: {result.cost_basis} at {significant(result.usd_per_device_hour, 3)} USD per device-hour."
        if result.usd_per_device_hour is not None
        else f"Cost basis: {result.cost_basis}, no price for this device.",
        *result.notes,
    ]
    if result.estimated_figures:
        notes.append("Rests on estimated figures: " + ", ".join(result.estimated_figures) + ".")
    columns = [Column("what", "", right=False), Column("value", "value"), Column("unit", "unit", right=False)]
    print_table(lines, columns, title=title, notes=notes)


def _print_time(phase: PhaseResult) -> None:
    total = sum(phase.exposed.values())
    lines = [
        {"stage": stage, "ms": seconds * 1e3, "share": f"{seconds / total:.0%}"}
        for stage, seconds in sorted(phase.exposed.items(), key=lambda item: -item[1])
        if seconds / total >= 0.002
    ]
    title = f"{phase.phase}: {phase.seconds * 1e3:.4g} ms for {phase.tokens:,.0f} tokens{_chunks(phase)}; where the time goes"
    columns = [Column("stage", "stage", right=False), Column("ms", "ms"), Column("share", "share")]
    print_table(lines, columns, title=title, notes=expert_notes(phase))


def _chunks(phase: PhaseResult) -> str:
    c = phase.chunks
    if c is None:
        return ""
    return f" in {c.count} chunks (first {c.first_seconds * 1e3:.4g} ms, last {c.last_seconds * 1e3:.4g} ms)"


def expert_notes(phase: PhaseResult) -> list[str]:
    """How the step loads its experts, if the model has any: at most one line."""
    return [] if phase.experts is None else [phase.experts.text() + "."]


def _print_memory(result: Result) -> None:
    parts = list(dict.fromkeys(k for p in result.phases.values() for k in p.memory.parts))
    lines = [
        {"phase": name, **{k: p.memory.parts.get(k, 0.0) / 1e9 for k in parts}, "total": p.memory.total / 1e9}
        | {"capacity": p.memory.capacity / 1e9, "fits": p.memory.fits}
        for name, p in result.phases.items()
    ]
    columns = [
        Column("phase", "GB per rank", right=False),
        *(Column(k, k.replace("_", " ")) for k in (*parts, "total", "capacity")),
    ]
    print_table(lines, [*columns, Column("fits", "fits", right=False)], title="memory")
