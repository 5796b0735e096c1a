"""Leave-one-out: parameters fitted without any row of a device, or of a whole generation, and the error on its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulator.profiles import load_device
from simulator.validation.calibrate_fabric import fit_collectives, fit_exchanges
from simulator.validation.calibrate_gpu import fit_attention, fit_matrix, fit_vector
from simulator.validation.calibrate_npu import fit_ascend, fit_tpu
from simulator.validation.calibrate_result import FitResult, Split, errors_of, no_rule
from simulator.validation.leave_one_out_rules import new_generation

DEVICE, GENERATION = "device", "generation"
KNOWN, UNSEEN = "known", "unseen"
Fit = Callable[[Path, Split], FitResult]

GPU_FITS: Mapping[str, Fit] = {
    "matrix": fit_matrix,
    "attention": fit_attention,
    "vector": fit_vector,
    "collectives": fit_collectives,
    "exchanges": fit_exchanges,
}
FITS: Mapping[str, Mapping[str, Fit]] = {
    "nvidia": GPU_FITS,
    "google": {"tpu": fit_tpu},
    "huawei": {"ascend": fit_ascend},
}
"""Vendor -> its fits, each of the families that share efficiencies."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is left out. stand_in: sister devices that stay, or the device whose generation lends its efficiencies."""

    name: str
    kind: str
    devices: tuple[str, ...]
    stand_in: str

    @property
    def vendor(self) -> str:
        """Vendor of the devices left out."""
        return load_device(self.devices[0]).vendor


CASES = (
    Case("h100-sxm", DEVICE, ("h100-sxm",), "h200-sxm, h800-sxm"),
    Case("h200-sxm", DEVICE, ("h200-sxm",), "h100-sxm, h800-sxm"),
    Case("h800-sxm", DEVICE, ("h800-sxm",), "h100-sxm, h200-sxm"),
    Case("b200-sxm", DEVICE, ("b200-sxm",), "gb200"),
    Case("gb200", DEVICE, ("gb200",), "b200-sxm"),
    Case("ascend-910b2", DEVICE, ("ascend-910b2",), "ascend-910b3, ascend-910c"),
    Case("ascend-910b3", DEVICE, ("ascend-910b3",), "ascend-910b2, ascend-910c"),
    Case("ascend-910c", DEVICE, ("ascend-910c",), "ascend-910b2, ascend-910b3"),
    Case("Ampere", GENERATION, ("a100-sxm", "a100-pcie"), "h100-sxm"),
    Case("Hopper", GENERATION, ("h100-sxm", "h200-sxm", "h800-sxm"), "b200-sxm"),
    Case("Blackwell", GENERATION, ("b200-sxm", "gb200"), "h100-sxm"),
    Case("Ascend 910B/910C", GENERATION, ("ascend-910b2", "ascend-910b3", "ascend-910c"), "ascend-950pr"),
    Case("Ascend 950", GENERATION, ("ascend-950pr", "ascend-950dt"), "ascend-910b3"),
    Case("TPU v5e", GENERATION, ("tpu-v5e",), "tpu-v6e"),
    Case("TPU v6e", GENERATION, ("tpu-v6e",), "tpu-v5e"),
    Case("TPU v7x", GENERATION, ("tpu-v7x",), "tpu-v6e"),
)
COLUMNS = ("family", "kind", "left_out", "device", "stand_in", "stack", "rows", "median", "p90", "seen")


def run(folder: Path, cases: Sequence[Case] = CASES, fits: Sequence[str] = ()) -> Iterator[list[dict[str, Any]]]:
    """Lines (COLUMNS) of each case and fit, as they come; fits: names to restrict to."""
    for case in cases:
        for name, fit in FITS[case.vendor].items():
            if fits and name not in fits:
                continue
            yield lines_of(case, scores_of(case, fit, folder))


def scores_of(case: Case, fit: Fit, folder: Path) -> pd.DataFrame:
    """Score lines of the rows left out."""
    names = frozenset(case.devices)
    unknown = no_rule if case.kind == DEVICE else new_generation(case.devices[0], case.stand_in)
    split = Split(lambda rows: np.asarray(rows["device"].isin(names).to_numpy(), dtype=np.bool_), unknown)
    scores = fit(folder, split).scores
    return _with_sisters(case, scores, folder) if case.kind == DEVICE else scores


def lines_of(case: Case, scores: pd.DataFrame) -> list[dict[str, Any]]:
    """One line a family, device and kind of stack; errors in percent. seen: of the same rows with the shipped values."""
    lines = []
    for (family, device, known), part in scores.groupby(["family", "device", "known"], sort=True):
        error, seen = errors_of(part) * 100, errors_of(part, "before") * 100
        stack = KNOWN if known else UNSEEN
        values = (family, case.kind, case.name, device, case.stand_in, stack, len(part))
        errors = (float(np.median(error)), float(np.quantile(error, 0.9)), float(np.median(seen)))
        lines.append(dict(zip(COLUMNS, (*values, *(round(e, 2) for e in errors)), strict=True)))
    return lines


def by_family(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Leave-one-out errors by family and kind over all cases with known stacks; medians weighted by rows."""
    table = pd.DataFrame(list(lines))
    table = table[table["stack"] == KNOWN]
    found = []
    for (family, kind), part in table.groupby(["family", "kind"], sort=False):
        rows = part["rows"].to_numpy(dtype=np.float64)
        mean = {c: float(np.average(part[c].to_numpy(dtype=np.float64), weights=rows)) for c in ("median", "p90", "seen")}
        found.append({"family": family, "kind": kind, "cases": int(part["left_out"].nunique()), "rows": int(rows.sum()), **mean})
    return sorted(found, key=lambda r: (r["kind"], -r["rows"]))


def _with_sisters(case: Case, scores: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Only the families in which another device of the generation has rows."""
    architecture = load_device(case.devices[0]).architecture
    keep = []
    for family in sorted(set(scores["family"])):
        devices = set(pd.read_csv(folder / "kernels" / f"{family}.csv", usecols=["device"])["device"])
        others = devices - set(case.devices)
        if any(load_device(d).architecture == architecture for d in others):
            keep.append(family)
    return scores[scores["family"].isin(keep)].reset_index(drop=True)
