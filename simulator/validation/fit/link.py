"""Calibrates one-sided transfers: what issuing a block costs on each software path. Rates of routes are measured, not fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from simulator.validation.fit.places import Key, calibrated_keys, files_behind
from simulator.validation.fit.trial import Observed, Trial
from simulator.validation.predict import link

FILES = ("hixl/link", "memfabric/link", "ub/link")


def read(folder: Path) -> pd.DataFrame:
    """Rows of the link table."""
    rows = pd.read_csv(folder / "kernels" / "link.csv", dtype=str, keep_default_na=False)
    return rows.reset_index(drop=True)


def observed(rows: pd.DataFrame) -> list[Observed]:
    """One Observed per device, route and software path."""
    found = []
    for key, group in rows.reset_index(drop=True).groupby(link.KEYS, sort=False, dropna=False):
        case = link.case_of(dict(zip(link.KEYS, map(str, key), strict=True)), group)
        seconds = pd.to_numeric(group["us"]).to_numpy(dtype=np.float64) * 1e-6
        found.append(Observed(_predictor(case), seconds, files_behind(case.table)))
    return found


def start_values() -> dict[Key, float]:
    """Present values of every path."""
    return {k: v for f in FILES for k, v in calibrated_keys(f).items()}


def _predictor(case: link.Case) -> Callable[[Trial], np.ndarray]:
    return lambda trial: replace(case, table=trial.table(case.table)).seconds()
