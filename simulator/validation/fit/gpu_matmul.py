"""Fits the GPU matrix-work model: efficiencies of each architecture, values of stacks and kernel libraries.

    python -m simulator.validation.fit.gpu_matmul MEASUREMENTS [--family gemm ...] [--held-out] [--write]

Prints the error before and after, by family and device, and with --held-out the error on devices and row folds that
the fit did not see. --write puts the fitted numbers into the YAML files they came from, with the rows behind each.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.validation.fit.figure_file import write_figures
from simulator.validation.fit.kernel_fit import STARTS, Free, Key, Sample, errors, samples, search
from simulator.validation.fit.suspect_rows import SUSPECT

Array = npt.NDArray[np.float64]

FAMILIES = ("gemm", "grouped_gemm", "moe")
SISTERS = (("h100-sxm", "h200-sxm"), ("b200-sxm", "gb200"))  # one is predicted with the other's fit
FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """NVIDIA rows of one family: table, measured seconds (NaN where unusable) and kernel groups."""

    family: str
    table: pd.DataFrame
    seconds: Array

    def samples(self, keep: npt.NDArray[np.bool_]) -> tuple[list[Sample], list[Free]]:
        """Samples of the rows marked in ``keep``."""
        module = importlib.import_module(f"simulator.validation.predict.{self.family}")
        groups, _ = module.groups(self.table)
        return samples(groups, self.seconds, keep)


def read(folder: Path, family: str) -> Rows:
    """The NVIDIA rows of ``folder``/kernels/``family``.csv, suspect rows without a time."""
    table = pd.read_csv(folder / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
    table = table[~table.device.str.startswith(("tpu", "ascend"))].reset_index(drop=True)
    seconds = pd.to_numeric(table["us"], errors="coerce").to_numpy(dtype=np.float64) * 1e-6
    seconds = np.where(table["id"].isin(SUSPECT), np.nan, seconds)
    return Rows(family, table.drop(columns=["us"]), seconds)


def collect(data: Sequence[Rows], keep: Sequence[npt.NDArray[np.bool_]]) -> tuple[list[Sample], list[Free]]:
    """Samples and free figures of several families together."""
    batch: list[Sample] = []
    free: dict[Key, Free] = {}
    for rows, mask in zip(data, keep, strict=True):
        more, figures = rows.samples(mask)
        batch += more
        free |= {f.key: f for f in figures}
    return batch, list(free.values())


def all_rows(data: Sequence[Rows]) -> list[npt.NDArray[np.bool_]]:
    """A mask per family that keeps every row."""
    return [np.ones(len(rows.table), dtype=bool) for rows in data]


def device_masks(data: Sequence[Rows], device: str) -> list[npt.NDArray[np.bool_]]:
    """Rows of one device, per family."""
    return [(rows.table["device"] == device).to_numpy(dtype=bool) for rows in data]


def fold_masks(data: Sequence[Rows], fold: int) -> list[npt.NDArray[np.bool_]]:
    """Rows of one random fold, per family."""
    return [np.random.default_rng(7).integers(FOLDS, size=len(rows.table)) == fold for rows in data]


def held_out(data: Sequence[Rows], test: list[npt.NDArray[np.bool_]]) -> dict[str, Array]:
    """Errors by family on the rows marked ``test``, fitted on the others."""
    batch, free = collect(data, [~mask for mask in test])
    values = {f.key: f.figure.value for f in free} | search(batch, free, starts=STARTS[:1])
    found = {}
    for rows, mask in zip(data, test, strict=True):
        part, _ = rows.samples(mask)
        found[rows.family] = np.concatenate([np.zeros(0), *errors(part, values)])
    return found


def summary(label: str, error: Array) -> str:
    """One line: rows, median and 90th percentile in percent."""
    if not len(error):
        return f"{label:34s}     0"
    return f"{label:34s} {len(error):5d}  {np.median(error) * 100:5.1f} / {np.quantile(error, 0.9) * 100:5.1f}"


def report(data: Sequence[Rows], values: Mapping[Key, float], title: str) -> list[str]:
    """Lines of in-sample errors by family, device and stack."""
    lines = [title]
    for rows in data:
        part, _ = rows.samples(np.ones(len(rows.table), dtype=bool))
        found = errors(part, values)
        lines.append(summary(rows.family, np.concatenate(found)))
        for name in ("device", "stack"):
            by: dict[str, list[Array]] = {}
            for sample, error in zip(part, found, strict=True):
                by.setdefault(_label(sample, name), []).append(error)
            lines += [summary("  " + label, np.concatenate(e)) for label, e in sorted(by.items())]
    return lines


def _label(sample: Sample, name: str) -> str:
    rows = sample.rows
    if name == "device":
        return rows.gpu.name
    facts = " ".join(v for k, v in rows.facts.items() if k in ("op", "dtype", "kernel"))[:44]
    return f"{rows.table.runtime} {facts} {rows.gpu.architecture}"


def held_out_report(data: Sequence[Rows]) -> list[str]:
    """Lines of held-out errors: each device by its sister, then row folds."""
    lines = ["held out"]
    pooled: dict[str, list[Array]] = {}
    for device in (d for pair in SISTERS for d in pair):
        for family, error in held_out(data, device_masks(data, device)).items():
            lines.append(summary(f"  {family} without {device}", error))
            pooled.setdefault(f"{family} devices held out", []).append(error)
    for fold in range(FOLDS):
        for family, error in held_out(data, fold_masks(data, fold)).items():
            pooled.setdefault(f"{family} {FOLDS} folds of rows", []).append(error)
    return lines + [summary("  " + label, np.concatenate(e)) for label, e in pooled.items()]


def rows_behind(batch: Sequence[Sample]) -> dict[Key, int]:
    """How many measurements each figure was fitted on."""
    count: dict[Key, int] = {}
    for sample in batch:
        for key in sample.depends_on():
            count[key] = count.get(key, 0) + len(sample.seconds)
    return count


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when done."""
    parser = argparse.ArgumentParser(description="Fit the GPU matrix-work model on a folder of measurements.")
    parser.add_argument("measurements", type=Path)
    parser.add_argument("--family", action="append", choices=FAMILIES, default=None)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--keep-efficiencies", action="store_true", help="fit stack values only")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args(arguments)
    data = [read(args.measurements, family) for family in args.family or FAMILIES]
    batch, free = collect(data, all_rows(data))
    if args.keep_efficiencies:
        free = [f for f in free if not f.hardware]
    before = {f.key: f.figure.value for f in free}
    after = search(batch, free, args.rounds)
    lines = [f"{len(free)} free figures", *report(data, before, "before"), *report(data, after, "after")]
    if args.held_out:
        lines += held_out_report(data)
    if args.write:
        count, figures = rows_behind(batch), {f.key: f.figure for f in free}
        files = write_figures({k: (figures[k], v, count[k]) for k, v in after.items()})
        lines += [f"wrote {path}" for path in sorted(files)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
