"""Error bands from measured errors: what two thirds of rows stay below, and how much wider it gets on unknown ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import load_device
from simulator.profiles.error_bands import ErrorBands, load_error_bands
from simulator.study.error_band import SIZE_CLASSES, size_class

SHARE = 2.0 / 3.0
FEWEST = 10  # rows a cell needs
PRIOR_ROWS = 20  # rows that the family as a whole counts for in each cell
LEAST = 3.0  # percent; equal inputs measured twice differ by this much
Errors: TypeAlias = npt.NDArray[np.float64]
WIDEST = 4.0  # no factor beyond it: too few rows carry it
FACTORS = {"new_device": "device", "new_generation": "generation", "derived": "stack", "estimated": "unknown stack"}
"""Factor -> kind of the leave-one-out lines it comes from."""

HEADER = """\
# Error in percent that two thirds of the published rows stay below, by family, vendor and size of the predicted time, with
# the rows behind each (few rows are drawn towards the family's); factors widen it where a device, a generation or a stack has no rows.
# composition: what a whole decode step adds to its kernels, from measured serving steps by vendor.
# Written by `python reports/regenerate.py accuracy`.
"""


def bands_text(rows: pd.DataFrame, left_out: Sequence[Mapping[str, Any]]) -> str:
    """YAML of ``hardware_profiles/error-bands.yaml``.

    rows: as of ``accuracy.compare``. left_out: lines of the leave-one-out table; a factor they say nothing of keeps its
    present value.
    """
    present = load_error_bands()
    kernels = rows[(rows["metric"] == "us") & np.isfinite(rows["error"]) & (rows["vendor"] != "")]
    factors = _present(present) | widening(left_out)
    lines = [HEADER + "bands:"]
    for family, part in kernels.groupby("family", sort=True):
        vendors = _vendors(part)
        lines += [f"  {family}:", *vendors] if vendors else []
    lines += [
        "measured:",
        *(_measured(str(family), part) for family, part in kernels.groupby("family", sort=True)),
        *(f'{name}: "{value:.3g}"' for name, value in factors.items()),
        "composition:",
        *_composition(rows),
    ]
    return "\n".join(lines) + "\n"


def _measured(family: str, part: pd.DataFrame) -> str:
    devices = sorted(set(part["device"]))
    architectures = sorted({load_device(d).architecture for d in devices})
    return f"  {family}: {{devices: [{', '.join(devices)}], architectures: [{', '.join(architectures)}]}}"


def _present(bands: ErrorBands) -> dict[str, float]:
    names = ("new_device", "new_generation", "derived", "estimated", "fallback")
    return {name: float(getattr(bands, name)) for name in names}


def _vendors(part: pd.DataFrame) -> list[str]:
    """Lines of one family; a vendor whose every size has few rows gets one cell of all of them."""
    lines = []
    family = two_thirds(_errors(part))
    for vendor, rows in part.groupby(part["device"].map(lambda d: load_device(d).vendor), sort=True):
        sizes = rows["predicted"].map(lambda us: size_class(us * 1e-6))
        cells = {name: _errors(rows[sizes == name]) for _, name in SIZE_CLASSES}
        cells = {name: error for name, error in cells.items() if len(error) >= FEWEST}
        if not cells and len(rows) >= FEWEST:
            cells = {"any": _errors(rows)}
        texts = [f'{n}: {{percent: "{_band(e, family):.1f}", rows: {len(e)}}}' for n, e in cells.items()]
        lines += [f"    {vendor}: {{{', '.join(texts)}}}"] if texts else []
    return lines


def _errors(rows: pd.DataFrame) -> Errors:
    return rows["error"].to_numpy(dtype=np.float64)


def _band(error: Errors, family: float) -> float:
    """Percent of a cell, drawn towards the family's where it rests on few rows."""
    own = two_thirds(error)
    return max((len(error) * own + PRIOR_ROWS * family) / (len(error) + PRIOR_ROWS), LEAST)


def two_thirds(error: Errors) -> float:
    """Percent that two thirds of the errors stay below."""
    return float(np.quantile(error, SHARE)) * 100


def _composition(rows: pd.DataFrame) -> list[str]:
    """What two thirds of the measured decode steps of whole deployments stay below, by vendor; the present lines without."""
    steps = rows[(rows["family"] == "serving") & (rows["metric"] == "tpot_ms") & np.isfinite(rows["error"])]
    bands = {
        vendor: (_band(_errors(part), two_thirds(_errors(steps))), len(part))
        for vendor, part in steps.groupby(steps["device"].map(lambda d: load_device(d).vendor), sort=True)
        if len(part) >= FEWEST
    } or {vendor: (band.percent, band.rows) for vendor, band in load_error_bands().composition.items()}
    return [f'  {vendor}: {{percent: "{percent:.1f}", rows: {count}}}' for vendor, (percent, count) in bands.items()]


def widening(left_out: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Factors by which the median error grows on rows that the values were not fitted on; weighted by root of rows."""
    found = {}
    for factor, kind in FACTORS.items():
        lines = [r for r in left_out if r["kind"] == kind and r["left_out"] != "all" and r["rows"] >= FEWEST]
        if lines:
            logs = [np.log(r["median"] / max(r["seen"], 1.0)) for r in lines]
            mean = np.average(logs, weights=[np.sqrt(r["rows"]) for r in lines])
            found[factor] = float(np.clip(np.exp(mean), 1.05, WIDEST))
    return found
