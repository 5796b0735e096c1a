"""Leave-one-out: parameters fitted without any row of a device, or of a whole generation, and the error on its rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulator.profiles import load_device
from simulator.validation.calibrate import FITS, Fit
from simulator.validation.calibrate_result import Split, errors_of, no_rule
from simulator.validation.leave_one_out_rules import new_generation
from simulator.validation.leave_one_out_stacks import stack_scores

DEVICE, GENERATION = "device", "generation"
STACK, UNKNOWN_STACK = "stack", "unknown stack"
KINDS = (DEVICE, GENERATION, STACK, UNKNOWN_STACK)
ALL = "all"
FEWEST = 3  # rows below which a case is not listed
FEWEST_POOLED = 30  # rows below which a family is not spoken of


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
CASE = ("family", "kind", "left_out", "stand_in")
COLUMNS = (*CASE, "rows", "alone", "median", "p90", "seen")


def run(folder: Path, cases: Sequence[Case] = CASES) -> Iterator[tuple[str, pd.DataFrame]]:
    """(what was left out, score lines with the columns CASE) of each case and fit, and of the stacks, as they come."""
    for case in cases:
        for name, (_, fit) in FITS[case.vendor].items():
            scores = scores_of(case, fit, folder)
            facts = {"kind": case.kind, "left_out": case.name, "stand_in": case.stand_in}
            yield f"{case.name}, {name}", scores.assign(**facts)
    for name, scores in stack_scores(folder):
        yield name, scores


def scores_of(case: Case, fit: Fit, folder: Path) -> pd.DataFrame:
    """Score lines of the rows left out."""
    names = frozenset(case.devices)
    unknown = no_rule if case.kind == DEVICE else new_generation(case.devices[0], case.stand_in)
    split = Split(
        lambda rows: np.asarray(rows["device"].isin(names).to_numpy(), dtype=np.bool_), unknown, case.kind == DEVICE
    )
    scores = fit(folder, split).scores
    return _with_sisters(case, scores, folder) if case.kind == DEVICE else scores


def table(scores: Iterable[pd.DataFrame]) -> list[dict[str, Any]]:
    """Lines (COLUMNS) by family and case, and by family over all cases of a kind (left_out "all"); errors in percent.

    alone: rows of kernels that were measured on nothing but what is left out; the errors are those of the other rows.
    seen: error of the same rows with the shipped values, which were fitted on them too.
    """
    found = pd.concat([s for s in scores if len(s)], ignore_index=True)
    pooled = found.assign(left_out=ALL, stand_in="")
    lines = []
    for part in (pooled, found):
        for key, group in part.groupby(list(CASE), sort=False):
            known = group[group["known"].astype(bool)]
            if len(known) >= FEWEST:
                line = dict(zip(CASE, key, strict=True)) | {"rows": len(known), "alone": len(group) - len(known)}
                lines.append(line | _errors(known))
    return sorted(lines, key=lambda r: (r["left_out"] != ALL, KINDS.index(r["kind"])))


def _errors(scores: pd.DataFrame) -> dict[str, float]:
    error, seen = errors_of(scores) * 100, errors_of(scores, "before") * 100
    values = {"median": np.median(error), "p90": np.quantile(error, 0.9), "seen": np.median(seen)}
    return {name: round(float(value), 2) for name, value in values.items()}


def by_family(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines over all cases of a kind."""
    return [line for line in lines if line["left_out"] == ALL]


def by_kind(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a family: its name and, by kind, the line over all cases of that kind (absent kinds left out)."""
    found: dict[str, dict[str, Any]] = {}
    for line in by_family(lines):
        found.setdefault(str(line["family"]), {"family": line["family"]})[str(line["kind"])] = line
    return list(found.values())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a table written before; none if there is no such file."""
    if not path.is_file():
        return []
    return [{str(k): v for k, v in r.items()} for r in pd.read_csv(path, keep_default_na=False).to_dict("records")]


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
