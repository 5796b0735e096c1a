"""``silicast calibrate``: fits a device's efficiencies and stack values, and says what the fit is worth on unseen rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from simulator.profiles import load_device, search, units
from simulator.profiles.errors import fail
from simulator.profiles.output import write_atomically
from simulator.validation.calibrate_fabric import fit_collectives, fit_exchanges, fit_links
from simulator.validation.calibrate_gpu import fit_attention, fit_matrix, fit_vector
from simulator.validation.calibrate_npu import fit_ascend, fit_tpu
from simulator.validation.calibrate_result import FitResult, FittedFigure, Mask, Split, errors_of

Fit = Callable[[Path, Split], FitResult]
FITS: Mapping[str, Mapping[str, tuple[tuple[str, ...], Fit]]] = {
    "nvidia": {
        "matrix work": (("gemm", "grouped_gemm", "moe"), fit_matrix),
        "attention": (("attention", "mla", "dsa"), fit_attention),
        "vector passes": (("elementwise",), fit_vector),
        "collectives": (("collectives",), fit_collectives),
        "expert exchange": (("deepep",), fit_exchanges),
    },
    "google": {"TPU kernels": (("gemm", "attention", "memcpy", "sparse_gather", "moe", "grouped_gemm"), fit_tpu)},
    "huawei": {
        "Ascend kernels": (
            ("gemm", "grouped_gemm", "attention", "mla", "dsa", "elementwise", "sparse_gather"),
            fit_ascend,
        ),
        "links": (("link",), fit_links),
    },
}
"""Vendor -> fit -> (tables it needs at least one of, function)."""

FOLD = 5  # one row in FOLD is held out
KEPT = "kernels"
UNSEEN = frozenset({"id", "us", "bwd_us", "gbps", "tag", "src", "note"})  # measured, or names of rows: not drawn by


def calibrate_device(device: str, measurements: Path, out: Path) -> Iterator[str]:
    """Lines of the report; ``out`` is written at the end. Rows of every device of the architecture are used.

    Robust fit on log error within bounds; a fifth of the rows, drawn by their shape and stack, is held out and judges it.
    ProfileError: unknown device, no tables, no rows of the architecture.
    """
    profile = load_device(device)
    devices = _sisters(measurements, profile.architecture)
    yield f"{device}: architecture {profile.architecture}; rows of {', '.join(devices)}; 1 row in {FOLD} is held out"
    yield f"{'family':16s} {'held-out rows':>13s}  {'before median/p90 %':>20s}  {'after median/p90 %':>20s}"
    yield "before: the shipped values, which were fitted on published rows, perhaps these; after: fitted on the other rows"
    split = Split(lambda rows: held_fold(rows, devices))
    figures: list[FittedFigure] = []
    for tables, fit in FITS[profile.vendor].values():
        if not any((measurements / KEPT / f"{t}.csv").is_file() for t in tables):
            continue
        result = fit(measurements, split)
        figures += result.figures
        yield from _lines(result.scores)
    if not figures:
        raise fail(str(measurements), 0, "", f"no row informs a figure of {profile.architecture}")
    write_atomically(out, fragment(device, profile.architecture, devices, figures))
    moved = sum(abs(f.value / f.before - 1.0) > 0.01 for f in figures if f.before)
    yield f"{len(figures)} figures fitted, {moved} moved by over 1%; written to {out}"


def held_fold(rows: pd.DataFrame, devices: Sequence[str], fold: int = 0) -> Mask:
    """One in FOLD of the rows of ``devices``, drawn by everything but measured values and names of rows."""
    mine = rows["device"].isin(list(devices)).to_numpy()
    names = sorted(c for c in rows.columns if c not in UNSEEN)
    texts = ["|".join(map(str, values)) for values in rows[names].fillna("").to_numpy().tolist()]
    drawn = np.array([_hash(text) % FOLD == fold for text in texts], dtype=np.bool_)
    return np.asarray(mine & drawn, dtype=np.bool_)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _sisters(measurements: Path, architecture: str) -> list[str]:
    """Devices of ``architecture`` with rows in the kernel tables."""
    tables = sorted((measurements / KEPT).glob("*.csv"))
    if not tables:
        raise fail(
            str(measurements), 0, "--measurements", "holds no kernel tables", allowed=f"a folder with {KEPT}/*.csv"
        )
    found: set[str] = set()
    for path in tables:
        columns = pd.read_csv(path, dtype=str, nrows=0).columns
        if "device" in columns:
            found |= set(pd.read_csv(path, dtype=str, usecols=["device"])["device"].dropna())
    known = set(_known_devices())
    mine = sorted(d for d in found & known if load_device(d).architecture == architecture)
    if not mine:
        raise fail(str(measurements), 0, "", f"no row of a device of architecture {architecture}")
    return mine


def _known_devices() -> Sequence[str]:
    return search.list_names("device")


def _lines(scores: pd.DataFrame) -> Iterator[str]:
    for family, part in scores.groupby("family", sort=False):
        before, after = errors_of(part, "before") * 100, errors_of(part) * 100
        shown = [f"{np.median(e):8.1f} / {np.quantile(e, 0.9):<8.1f}" for e in (before, after)]
        yield f"{family!s:16s} {len(part):13,d}  {shown[0]:>20s}  {shown[1]:>20s}"


def fragment(device: str, architecture: str, devices: Sequence[str], figures: Sequence[FittedFigure]) -> str:
    """YAML of the fitted figures: by file, each with its place, kind ``calibrated`` and the rows behind it."""
    lines = [
        f"# Figures of {architecture} fitted by `silicast calibrate {device}` on rows of {', '.join(devices)}.",
        "# Each stands under the file and place it replaces; copy what you want to keep.",
        "sources:",
        '  fit: "robust fit on published rows, one in five held out"',
        "figures:",
    ]
    by_file: dict[str, list[FittedFigure]] = {}
    for figure in figures:
        by_file.setdefault(shown_path(figure.file), []).append(figure)
    for file, mine in sorted(by_file.items()):
        lines.append(f'  "{file}":')
        for f in mine:
            text = units.format_quantity(float(f"{f.value:.4g}"), f.unit or units.RATIO)
            lines.append(f'    "{f.place}": {{value: "{text}", kind: calibrated, source: fit, rows: {f.rows}}}')
    return "\n".join(lines) + "\n"


def shown_path(file: str) -> str:
    """A profile's file relative to the profiles' root."""
    path = Path(file)
    root = search.bundled()
    return str(path.relative_to(root)) if path.is_relative_to(root) else file
