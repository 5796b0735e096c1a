"""Pictures of the accuracy report: predicted against measured, one panel a family and metric."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from simulator.report.style import INK, new_figure, svg

MARKERS = {"GPU": "o", "TPU": "s", "Ascend": "^"}
COLOURS = {
    "a100-pcie": "#9fd3c7",
    "a100-sxm": "#56B4E9",
    "h100-sxm": "#0072B2",
    "h200-sxm": "#009E73",
    "h800-sxm": "#004f6e",
    "h20": "#7aa6c2",
    "b200-sxm": "#E69F00",
    "b300-sxm": "#a06a00",
    "gb200": "#D55E00",
    "gb300": "#8c3a00",
    "l40s": "#999999",
    "rtx-pro-6000": "#666666",
    "tpu-v4": "#c9c900",
    "tpu-v5e": "#7f7f00",
    "tpu-v5p": "#a6a65a",
    "tpu-v6e": "#4d4d00",
    "tpu-v7x": "#222222",
    "ascend-910b2": "#CC79A7",
    "ascend-910b3": "#7F3C8D",
    "ascend-910c": "#b03060",
    "ascend-950pr": "#4a1486",
    "ascend-950dt": "#d8a8d8",
}
"""Warm = Blackwell, cool = Ampere and Hopper, purple = Ascend, olive = TPU; the marker repeats the vendor."""

UNITS = {
    "us": "µs",
    "ttft_ms": "ms",
    "tpot_ms": "ms",
    "output_tok_s_per_dev": "tokens/s",
    "input_tok_s_per_dev": "tokens/s",
    "avg_power_w_per_dev": "W",
    "energy_j_per_out_tok": "J",
    "step_time_s": "s",
    "tokens_per_s_per_device": "tokens/s",
}
BEYOND = 3.0  # predictions farther outside the measured range are drawn on the edge
NARROW = 60.0  # ratio of the ends of an axis below which powers of ten are too few ticks
SHARPNESS = 150.0  # dots per inch of the points, which are drawn as an image


def scatter(rows: pd.DataFrame) -> str:
    """Log-log picture of the predicted rows of one family and metric: identity line, +-25% band, a colour per device."""
    known = rows[np.isfinite(rows["error"])]
    figure, axes = new_figure(4.5, 4.4)
    figure.set_dpi(SHARPNESS)
    unit = UNITS.get(str(rows["metric"].iloc[0]), "")
    low, high = _range(known)
    line = np.array([low, high])
    axes.fill_between(line, line / 1.25, line * 1.25, color="#EDEDED", lw=0, label="within 25%")
    axes.plot(line, line, color="#888888", lw=0.8)
    for device, part in sorted(known.groupby("device"), key=lambda item: -len(item[1])):
        axes.scatter(
            part["measured"], part["predicted"].clip(low, high), s=_area(len(known)), marker=MARKERS.get(part["vendor"].iloc[0], "o"),
            color=COLOURS.get(str(device), INK), alpha=0.55, lw=0, rasterized=True, label=f"{device} ({len(part):,})",
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    _ticks(axes, low, high)
    axes.set_xlabel(f"measured, {unit}")
    axes.set_ylabel(f"predicted, {unit}")
    _legend(axes)
    return svg(figure)


def _legend(axes: Any) -> None:
    found = axes.legend(fontsize=7, loc="upper left", handletextpad=0.2, borderaxespad=0.2, labelspacing=0.25)
    for handle in found.legend_handles[1:]:
        handle.set_alpha(1.0)
        handle.set_sizes([16.0])
        handle.set_rasterized(False)


def _range(known: pd.DataFrame) -> tuple[float, float]:
    """Both axes: every measured value, and predictions up to a factor beyond them."""
    low, high = float(known["measured"].min()), float(known["measured"].max())
    least, most = float(known["predicted"].min()), float(known["predicted"].max())
    return max(min(low, least), low / BEYOND) / 1.3, min(max(high, most), high * BEYOND) * 1.3


def _ticks(axes: Any, low: float, high: float) -> None:
    """Powers of ten; also 2 and 5 of each where the axes span little."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    narrow = high / low < NARROW
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        if narrow:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _area(count: int) -> float:
    return 5.0 if count > 500 else 9.0 if count > 100 else 16.0
