"""The self-contained HTML page of a comparison: who wins on what, why, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.report import comparison as terminal
from simulator.report.html import environment
from simulator.report.style import SERIES, new_figure, stage_colour, svg
from simulator.report.terminal import cell
from simulator.study.compare import Comparison
from simulator.study.result import Result
from simulator.study.rows import Row

MEASURES = (
    ("ttft_ms", "prefill step, ms"),
    ("tpot_ms", "time per output token, ms"),
    ("usd_per_mtok_output", "USD per million output tokens"),
    ("j_per_output_tok", "J per output token"),
)


def render(comparison: Comparison) -> str:
    """comparison.html."""
    rows = [terminal.shown(row) for row in comparison.rows]
    return (
        environment()
        .get_template("comparison.html.j2")
        .render(
            comparison=comparison,
            columns=terminal.COLUMNS,
            table=[[(c, cell(row.get(c.key), c.digits)) for c in terminal.COLUMNS] for row in rows],
            best=[_best(comparison.rows, key, what) for key, what in MEASURES],
            measures_svg=_measures(comparison.rows),
            stages=[(phase, _stages(comparison.results, phase)) for phase in _phases(comparison.results)],
            notes=terminal.notes(comparison),
        )
    )


def _best(rows: Sequence[Row], key: str, what: str) -> tuple[str, Row | None, float | None]:
    """(measure, row with the least of it, its value); no row where nobody has the figure."""
    known = [r for r in rows if r.get(key) is not None and r["fits"]]
    row = min(known, key=lambda r: float(r[key]), default=None)
    return what, row, None if row is None else float(row[key])


def _phases(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(name for r in results for name in r.phases))


def _measures(rows: Sequence[Row]) -> str:
    """Bars of every measure, one panel each, with the expected error as whisker; the best is dark."""
    present = [(k, what) for k, what in MEASURES if any(r.get(k) is not None for r in rows)]
    figure, panels = new_figure(7.6, 0.24 * len(rows) + 1.0, len(present))
    at = np.arange(len(rows))[::-1]
    for n, ((key, what), axes) in enumerate(zip(present, np.atleast_1d(panels), strict=True)):
        values = np.array([np.nan if r.get(key) is None else float(r[key]) for r in rows])
        error = np.array([float(r["error_band_pct"]) for r in rows]) / 100 * values
        least = np.nanmin(values)
        colours = [SERIES[0] if v == least else "#A9C9E2" for v in values]
        axes.barh(at, np.nan_to_num(values), color=colours, height=0.7, xerr=np.nan_to_num(error), error_kw={"lw": 0.7})
        axes.set_yticks(at, [r["device"] for r in rows] if n == 0 else [""] * len(rows))
        axes.set_ylim(-0.8, len(rows) - 0.2)
        axes.set_xlabel(what, fontsize=8)
        axes.set_xlim(0, np.nanquantile(values + error, 0.9) * 1.15)  # a straggler must not flatten the others
        axes.grid(axis="y", visible=False)
        axes.tick_params(labelsize=8)
    return svg(figure)


def _stages(results: Sequence[Result], phase: str) -> str:
    """Where a step's time goes on each device: exposed time by stage, in percent."""
    import matplotlib.patches

    shown = [r for r in results if phase in r.phases]
    figure, axes = new_figure(7.6, 0.24 * len(shown) + 1.3)
    at, offset = np.arange(len(shown))[::-1], np.zeros(len(shown))
    stages = list(dict.fromkeys(s for r in shown for s in r.phases[phase].exposed))
    for stage in stages:
        share = [100 * r.phases[phase].exposed.get(stage, 0.0) / sum(r.phases[phase].exposed.values()) for r in shown]
        axes.barh(at, share, left=offset, color=stage_colour(stage), height=0.7)
        offset += np.array(share)
    axes.set_yticks(at, [r.device for r in shown])
    axes.set_ylim(-0.8, len(shown) - 0.2)
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"% of the {phase} step")
    axes.grid(axis="y", visible=False)
    patches: list[Any] = [matplotlib.patches.Patch(color=stage_colour(s), label=s.replace("_", " ")) for s in stages]
    figure.legend(handles=patches, loc="outside upper center", ncols=min(len(patches), 6), fontsize=8)
    return svg(figure)
