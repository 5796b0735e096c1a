"""Colours and matplotlib settings of every figure; SVG output is byte-identical for the same input."""

from __future__ import annotations

import io
from typing import Any

# Okabe-Ito palette: distinguishable with colour-vision deficiency.
STAGE_COLOURS = {
    "embed": "#999999",
    "attention_in": "#56B4E9",
    "attention_core": "#0072B2",
    "gate": "#CC79A7",
    "dispatch": "#E69F00",
    "experts": "#D55E00",
    "shared": "#B8860B",
    "combine": "#F0C040",
    "ffn": "#009E73",
    "head": "#666666",
    "mtp": "#7F3C8D",
    "host": "#BBBBBB",
}
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#666666", "#B8860B", "#999999")
INK = "#222222"
RULE = "#D9D9D9"


def stage_colour(stage: str) -> str:
    """Colour of a stage; stages outside the palette are grey."""
    return STAGE_COLOURS.get(stage, "#888888")


def new_figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    """(figure, axes or list of axes) in the house style; sizes in inches."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    matplotlib.rcParams.update(
        {
            "svg.hashsalt": "silicast",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#888888",
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.grid": True,
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "legend.frameon": False,
        }
    )
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    return figure, axes


def svg(figure: Any) -> str:
    """The figure as an inline <svg> element (no XML prologue, no date)."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": "silicast"})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
