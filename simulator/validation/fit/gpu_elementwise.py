"""Calibrates GPU vector passes: memory efficiencies of an architecture and stack values of each kernel, jointly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import load_device
from simulator.profiles.gpu import Gpu
from simulator.validation.fit import places
from simulator.validation.fit.places import Key, calibrated_keys, files_behind
from simulator.validation.fit.trial import Observed, Trial, fit, row_counts
from simulator.validation.predict import elementwise

FILES = tuple(f"{stack}/elementwise" for stack in ("trtllm", "vllm", "sglang", "vidur", "pytorch"))
EFFICIENCIES = ("vector_stream", "vector_l2")
Array = npt.NDArray[np.float64]


def read(folder: Path) -> pd.DataFrame:
    """NVIDIA rows of the elementwise table."""
    rows = pd.read_csv(folder / "kernels" / "elementwise.csv", dtype=str, keep_default_na=False)
    return rows[~rows["device"].str.match("tpu|ascend")].reset_index(drop=True)


def observed(rows: pd.DataFrame) -> list[Observed]:
    """One Observed per device, stack, operator and kernel."""
    found = []
    for key, group in elementwise.prepared(rows).groupby(elementwise.KEYS, sort=False, dropna=False):
        facts = dict(zip(elementwise.KEYS, key, strict=True))
        case = elementwise.case_of(facts, _numbers(group["rows"]), _numbers(group["cols"]))
        uses = files_behind(case.table) | {case.gpu.architecture}
        found.append(Observed(_predictor(case), _numbers(group["us"]) * 1e-6, uses))
    return found


def _predictor(case: elementwise.Case) -> Callable[[Trial], Array]:
    return lambda trial: replace(case, gpu=trial.gpu(case.gpu), table=trial.table(case.table)).seconds()


def start_values(rows: pd.DataFrame, files: tuple[str, ...] = FILES) -> dict[Key, float]:
    """Present values of everything the fit varies for ``rows``."""
    found = {k: v for f in files for k, v in calibrated_keys(f).items()}
    for gpu in map(load_device, sorted(set(rows["device"]))):
        if isinstance(gpu, Gpu):
            for name in EFFICIENCIES:
                found[Key(gpu.architecture, -1, "", name)] = getattr(gpu.efficiencies, name)
    return found


def fit_rows(
    rows: pd.DataFrame, evaluations: int = 15, frozen: frozenset[tuple[str, str]] = frozenset()
) -> dict[Key, float]:
    """Robust joint fit on ``rows``; (file, name) pairs in ``frozen`` keep their value."""
    start = {k: v for k, v in start_values(rows).items() if (k.file, k.name) not in frozen}
    return fit(observed(rows), start, evaluations=evaluations)


def write(values: Mapping[Key, float], rows: pd.DataFrame) -> int:
    """Write values fitted on ``rows`` into runtime, library and architecture files; returns how many figures changed."""
    return places.write(values, row_counts(observed(rows), values))


def _numbers(column: pd.Series) -> Array:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
