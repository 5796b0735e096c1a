"""The pictures of a run: where time goes, one layer's timeline, the roofline, energy, memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.replay.program import PS_PER_SECOND
from simulator.report.style import INK, SERIES, new_figure, stage_colour, svg
from simulator.study.result import PhaseResult

SMALL = 0.004  # shares below this are drawn together


def time_by_operator(phase: PhaseResult, top: int = 14) -> str:
    """Horizontal bars: the operators that take most time, coloured by stage; error band as whisker."""
    merged: dict[tuple[str, str], list[float]] = {}
    for o in phase.operators:
        entry = merged.setdefault((o.name, o.stage), [0.0, 0.0])
        entry[0] += o.total_seconds
        entry[1] = max(entry[1], o.band_pct)
    ranked = sorted(merged.items(), key=lambda item: -item[1][0])
    shown, rest = ranked[:top], sum(v[0] for _, v in ranked[top:])
    labels = [f"{name}" for (name, _), _ in shown] + (["all others"] if rest else [])
    values = np.array([v[0] for _, v in shown] + ([rest] if rest else [])) * 1e3
    bands = np.array([v[0] * v[1] / 100 for _, v in shown] + ([0.0] if rest else [])) * 1e3
    colours = [stage_colour(stage) for (_, stage), _ in shown] + (["#CCCCCC"] if rest else [])
    figure, axes = new_figure(7.2, 0.26 * len(labels) + 1.1)
    at = np.arange(len(labels))[::-1]
    axes.barh(
        at, values, color=colours, height=0.72, xerr=bands, error_kw={"ecolor": "#555555", "lw": 0.8, "capsize": 2}
    )
    axes.set_yticks(at, labels)
    axes.set_xlabel("ms in the step, all layers (whisker: expected error)")
    axes.grid(axis="y", visible=False)
    total = values.sum()
    for y, value, band in zip(at, values, bands, strict=True):
        text = f"{value / total:.0%}" if value / total >= 0.01 else f"{value / total:.1%}"
        axes.annotate(text, (value + band, y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    stages = list(dict.fromkeys(stage for (_, stage), _ in shown))
    handles = [_patch(stage_colour(s), s.replace("_", " ")) for s in stages]
    axes.legend(handles=handles, loc="lower right", fontsize=8)
    return svg(figure)


def layer_timeline(phase: PhaseResult, layer: int) -> str:
    """Gantt of one layer: one row per stream and micro-batch order, coloured by stage."""
    program, timeline = phase.program, phase.timeline
    nodes = [
        i for i in range(len(program)) if program.origin[i] >= 0 and phase.graph.nodes[program.origin[i]].layer == layer
    ]
    begin = min(int(timeline.start_ps[i]) for i in nodes)
    rows = ["compute", "comm"] if any(_stream(phase, i) == "comm" for i in nodes) else ["compute"]
    figure, axes = new_figure(7.2, 0.62 * len(rows) + 1.0)
    seen: dict[str, str] = {}
    for i in nodes:
        node = phase.graph.nodes[program.origin[i]]
        start = (int(timeline.start_ps[i]) - begin) / PS_PER_SECOND * 1e6
        width = int(timeline.finish_ps[i] - timeline.start_ps[i]) / PS_PER_SECOND * 1e6
        y = len(rows) - 1 - rows.index(_stream(phase, i))
        colour = stage_colour(node.stage)
        axes.broken_barh(
            [(start, width)],
            (y - 0.36, 0.72),
            facecolors=colour,
            edgecolor="white",
            linewidth=0.4,
            alpha=1.0 if node.micro_batch == 0 else 0.55,
        )
        seen[node.stage] = colour
    axes.set_yticks(range(len(rows)), rows[::-1])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("µs since the layer began")
    axes.grid(axis="y", visible=False)
    _legend_below(figure, [_patch(c, s.replace("_", " ")) for s, c in seen.items()])
    return svg(figure)


def layers_to_draw(phase: PhaseResult) -> dict[str, int]:
    """One representative layer per kind: the second of its kind where there is one (steady state)."""
    found: dict[str, list[int]] = {}
    for node in phase.graph.nodes:
        if node.layer >= 0 and node.kind != "mtp":
            layers = found.setdefault(node.kind, [])
            if node.layer not in layers:
                layers.append(node.layer)
    return {kind: layers[min(1, len(layers) - 1)] for kind, layers in found.items()}


def roofline(phase: PhaseResult, peaks: Mapping[str, float], bandwidth: float) -> str:
    """Operators by arithmetic intensity and reached FLOP/s under the datasheet roofs; area follows time."""
    points = [o for o in phase.operators if o.flops > 0 and o.hbm_bytes > 0 and o.stream == "compute"]
    figure, axes = new_figure(7.2, 3.9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    intensity = np.array([o.flops / o.hbm_bytes for o in points])
    reached = np.array([o.flops / o.total_seconds for o in points])
    low, high = min(intensity.min() / 2, 1.0), max(intensity.max() * 2, 3e3)
    xs = np.geomspace(low, high, 200)
    roofs: dict[float, list[str]] = {}
    for rate, peak in peaks.items():
        if peak >= reached.max() / 50:
            roofs.setdefault(peak, []).append(rate)
    for peak, rates in roofs.items():
        axes.plot(xs, np.minimum(xs * bandwidth, peak), color="#AAAAAA", lw=1.0)
        axes.annotate(" ".join(sorted(rates)), (xs[-1], peak), fontsize=8, ha="right", va="bottom", color="#555555")
    share = np.array([o.total_seconds for o in points])
    size = 20 + 500 * share / share.max()
    axes.scatter(
        intensity,
        reached,
        s=size,
        c=[stage_colour(o.stage) for o in points],
        alpha=0.75,
        edgecolors="white",
        linewidths=0.6,
    )
    _label_points(
        axes, [points[i].name for i in np.argsort(-share)], intensity[np.argsort(-share)], reached[np.argsort(-share)]
    )
    axes.set_xlim(low, high)
    axes.set_xlabel("arithmetic intensity, FLOP per HBM byte")
    axes.set_ylabel("reached FLOP/s on one rank")
    return svg(figure)


def energy_and_cost(phases: Mapping[str, PhaseResult]) -> str:
    """Stacked bars: joules by cause, and money (= device time) by stage, per phase."""
    figure, (left, right) = new_figure(7.2, 0.55 * len(phases) + 1.9, 2)
    names = list(phases)
    at = np.arange(len(names))[::-1]
    causes = ("idle", "active", "memory", "matrix")
    colours = ("#BBBBBB", "#56B4E9", "#009E73", "#D55E00")
    splits = {n: {k: float(v) for k, v in p.energy.split().items()} for n, p in phases.items()}
    offset = np.zeros(len(names))
    for cause, colour in zip(causes, colours, strict=True):
        values = np.array([splits[n][cause] / sum(splits[n].values()) for n in names]) * 100
        left.barh(at, values, left=offset, color=colour, label=cause, height=0.6)
        offset += values
    left.set_yticks(at, names)
    left.set_xlabel("% of energy")
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, handlelength=1.0, columnspacing=1.0)
    stages = list(dict.fromkeys(s for p in phases.values() for s in p.exposed))
    offset = np.zeros(len(names))
    for stage in stages:
        values = np.array([phases[n].exposed.get(stage, 0.0) / sum(phases[n].exposed.values()) for n in names]) * 100
        right.barh(at, values, left=offset, color=stage_colour(stage), label=stage.replace("_", " "), height=0.6)
        offset += values
    right.set_yticks(at, names)
    right.set_xlabel("% of step time = % of cost")
    _legend_below(figure, right.get_legend_handles_labels()[0])
    for axes in (left, right):
        axes.set_xlim(0, 100)
        axes.grid(axis="y", visible=False)
    return svg(figure)


def memory_bars(phases: Mapping[str, PhaseResult]) -> str:
    """Stacked GB per rank against the usable capacity."""
    figure, axes = new_figure(7.2, 0.5 * len(phases) + 1.4)
    names = list(phases)
    at = np.arange(len(names))[::-1]
    parts = list(dict.fromkeys(k for p in phases.values() for k in p.memory.parts))
    offset = np.zeros(len(names))
    for part, colour in zip(parts, SERIES, strict=False):
        values = np.array([phases[n].memory.parts.get(part, 0.0) / 1e9 for n in names])
        axes.barh(at, values, left=offset, color=colour, label=part.replace("_", " "), height=0.55)
        offset += values
    capacity = phases[names[0]].memory.capacity / 1e9
    axes.axvline(capacity, color=INK, lw=1.2)
    axes.annotate(
        "usable", (capacity, at.max() + 0.42), fontsize=8, ha="right", xytext=(-3, 0), textcoords="offset points"
    )
    axes.set_yticks(at, names)
    axes.set_ylim(at.min() - 0.5, at.max() + 0.75)
    axes.set_xlabel("GB per rank")
    axes.grid(axis="y", visible=False)
    _legend_below(figure, axes.get_legend_handles_labels()[0])
    return svg(figure)


def _legend_below(figure: Any, handles: Any) -> None:
    figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8, handlelength=1.0, columnspacing=1.0)


def _label_points(axes: Any, names: list[str], xs: np.ndarray, ys: np.ndarray, most: int = 7) -> None:
    """Names of the first points in a column at the upper left, where a roofline is empty, each with a line to its point."""
    first = sorted(zip(names[:most], xs[:most], ys[:most], strict=True), key=lambda point: -point[2])
    for i, (name, x, y) in enumerate(first):
        axes.annotate(
            name, (x, y), xytext=(0.03, 0.94 - 0.065 * i), textcoords="axes fraction", fontsize=8, va="center", zorder=1,
            arrowprops={"arrowstyle": "-", "color": "#999999", "lw": 0.6, "shrinkA": 2, "shrinkB": 0},
        )  # fmt: skip


def _stream(phase: PhaseResult, node: int) -> str:
    table = phase.program.stream_table
    return "comm" if any(table[s].name.startswith("comm") for s in phase.program.streams[node]) else "compute"


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)
