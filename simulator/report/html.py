"""The self-contained HTML report of a run: headline, pictures, tables, provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from simulator.devices.peaks import peak_flops
from simulator.devices.rank import rank_of
from simulator.profiles.library import load_device, load_system
from simulator.report import figures
from simulator.report.run_report import HEADLINE, operator_document
from simulator.report.terminal import significant
from simulator.study.result import PhaseResult, Result
from simulator.study.rows import row_of

TEMPLATES = Path(__file__).parent / "templates"


def environment() -> jinja2.Environment:
    """Jinja environment of the report templates; everything is escaped, undefined names are errors."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["digits"] = lambda value, n=3: "-" if value is None else significant(float(value), n)
    return env


def render(result: Result) -> str:
    """report.html of a run."""
    row = row_of(result)
    device = rank_of(load_device(result.device), load_system(result.system).ranks_per_device)
    peaks, bandwidth = peak_flops(device), device.memory.bandwidth
    return (
        environment()
        .get_template("run.html.j2")
        .render(
            result=result,
            row=row,
            headline=[(what, row[key], unit) for key, what, unit in HEADLINE if row[key] is not None],
            phases=[_phase(name, p, dict(peaks), bandwidth) for name, p in result.phases.items()],
            energy_svg=figures.energy_and_cost(result.phases),
            memory_svg=figures.memory_bars(result.phases),
        )
    )


def _phase(name: str, phase: PhaseResult, peaks: dict[str, float], bandwidth: float) -> dict[str, Any]:
    ranked = sorted(phase.operators, key=lambda o: -o.total_seconds)
    total = sum(o.total_seconds for o in ranked)
    return {
        "name": name,
        "result": phase,
        "stages": sorted(phase.exposed.items(), key=lambda item: -item[1]),
        "time_svg": figures.time_by_operator(phase),
        "timelines": [
            (kind, layer, figures.layer_timeline(phase, layer)) for kind, layer in figures.layers_to_draw(phase).items()
        ],
        "roofline_svg": figures.roofline(phase, peaks, bandwidth),
        "operators": [operator_document(name, o) | {"share": o.total_seconds / total} for o in ranked],
    }
