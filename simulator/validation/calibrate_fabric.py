"""Fits of collectives, expert exchanges and links with rows held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from simulator.validation.calibrate_result import FitResult, Split, gathered
from simulator.validation.calibrate_trial import fit_trial
from simulator.validation.fit import fabric
from simulator.validation.fit import link as link_fit
from simulator.validation.fit.places import Key, calibrated_keys
from simulator.validation.fit.trial import Observed
from simulator.validation.predict import collectives, deepep, link


def fit_collectives(folder: Path, split: Split, evaluations: int = 8) -> FitResult:
    """Collectives: library and framework kernels with the latencies of the links, then the values seen inside steps."""
    rows = _nvidia(fabric.read(folder, "collectives"))
    in_step = rows["fw"].eq("vidur").to_numpy()
    start = {k: v for f in (*fabric.NCCL_FILES, fabric.STEP_FILE) for k, v in calibrated_keys(f).items()}
    results: list[FitResult] = []
    for part in (rows[~in_step], rows[in_step]):
        part = part.reset_index(drop=True)
        tiers = fabric.tier_keys(set(part["device"])) if not results else {}
        results.append(_fit("collectives", part, split, start | tiers, evaluations))
    return FitResult(gathered(r.scores for r in results), tuple(f for r in results for f in r.figures))


def fit_exchanges(folder: Path, split: Split, evaluations: int = 8) -> FitResult:
    """Expert dispatch and combine."""
    rows = fabric.read(folder, "deepep")
    start = {k: v for f in fabric.EXCHANGE_FILES for k, v in calibrated_keys(f).items()}
    return _fit("deepep", rows, split, start, evaluations)


def fit_links(folder: Path, split: Split, evaluations: int = 8) -> FitResult:
    """One-sided transfers between two devices."""
    return _fit("link", link_fit.read(folder), split, link_fit.start_values(), evaluations)


CASES: Mapping[str, tuple[list[str], Callable[[pd.DataFrame], list[Observed]]]] = {
    "collectives": (collectives.KEYS, fabric.observed_collectives),
    "deepep": (deepep.KEYS, fabric.observed_exchanges),
    "link": (link.KEYS, link_fit.observed),
}
"""Family -> (columns that the rows of one case share, cases of a table)."""


def _fit(family: str, rows: pd.DataFrame, split: Split, start: Mapping[Key, float], evaluations: int) -> FitResult:
    keys, observed = CASES[family]
    return fit_trial(
        family, rows, split, observed, lambda t: t.groupby(keys, sort=False, dropna=False), start, evaluations
    )


def _nvidia(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["device"].str.match("tpu|ascend")].reset_index(drop=True)
