"""Why a step takes the time it takes: operators by time, bytes and joules, and what each number rests on."""

from __future__ import annotations

from simulator.report.run_report import document, expert_notes
from simulator.report.terminal import Column, print_json, print_table, rows_to_csv
from simulator.study.result import OperatorResult, PhaseResult, Result

COLUMNS = (
    Column("name", "operator", right=False),
    Column("stage", "stage", right=False),
    Column("count", "x"),
    Column("us", "us each"),
    Column("share", "share", right=True),
    Column("bound", "binds", right=False),
    Column("gflop", "GFLOP"),
    Column("hbm_mb", "HBM MB"),
    Column("wire_mb", "wire MB"),
    Column("joules", "J", 2),
    Column("kernel", "kernel values from", right=False),
    Column("fidelity", "fidelity", right=False),
    Column("band", "± %", 2),
)


def print_explanation(result: Result, top: int, format: str) -> None:
    """Operators of each phase, the most expensive first."""
    if format == "json":
        print_json(document(result))
        return
    if format == "csv":
        import sys

        sys.stdout.write(
            rows_to_csv([{"phase": n} | _row(o, 1.0) for n, p in result.phases.items() for o in p.operators])
        )
        return
    for phase in result.phases.values():
        _print_phase(phase, top)
    if result.estimated_figures:
        print_table(
            [{"figure": f} for f in result.estimated_figures],
            [Column("figure", "estimated figures behind these numbers", right=False)],
        )


def _print_phase(phase: PhaseResult, top: int) -> None:
    ranked = sorted(phase.operators, key=lambda o: -o.total_seconds)
    total = sum(o.total_seconds for o in ranked)
    rest = ranked[top:]
    notes = []
    if rest:
        share = sum(o.total_seconds for o in rest) / total
        notes.append(f"{len(rest)} more operators take {share:.1%} of the operator time.")
    notes.append(
        f"Sum of operators {total * 1e3:.4g} ms, step {phase.seconds * 1e3:.4g} ms "
        f"(overlap hides the difference), roofline {phase.roofline_seconds * 1e3:.4g} ms."
    )
    notes += expert_notes(phase)
    title = f"{phase.phase}: {phase.bound}"
    print_table([_row(o, total) for o in ranked[:top]], COLUMNS, title=title, notes=notes)


def _row(o: OperatorResult, total: float) -> dict[str, object]:
    return {
        "name": o.name,
        "stage": o.stage,
        "count": o.count,
        "us": o.seconds * 1e6,
        "share": f"{o.total_seconds / total:.1%}",
        "bound": o.bound,
        "gflop": o.flops / 1e9,
        "hbm_mb": o.hbm_bytes / 1e6,
        "wire_mb": o.wire_bytes / 1e6,
        "joules": o.joules,
        "kernel": o.kernel,
        "fidelity": o.fidelity,
        "band": o.band_pct,
    }
