"""Calibrates GPU vector passes: memory efficiencies of an architecture and stack values of each kernel, jointly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import load_device, search
from simulator.profiles.gpu import Gpu
from simulator.validation.fit.kernel_yaml import Fitted, rewrite_efficiencies, rewrite_kernels
from simulator.validation.fit.trial import Key, Observed, Trial, calibrated_keys, file_of, fit, path_of
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
        uses = frozenset({file_of(case.table), case.gpu.architecture})
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


def write(values: Mapping[Key, float], rows: int) -> int:
    """Write fitted values into runtime and architecture files; returns how many figures changed."""
    written = 0
    for file in sorted({k.file for k in values}):
        mine = {k: Fitted(v, rows) for k, v in values.items() if k.file == file}
        if "/" in file:
            written += rewrite_kernels(path_of(file), {(k.entry, k.override, k.name): v for k, v in mine.items()})
        else:
            written += rewrite_efficiencies(_architecture(file), {k.name: v for k, v in mine.items()})
    return written


def _architecture(name: str) -> Path:
    stem = f"{name.replace('_', '-')}.yaml"
    options = (f / sub / "architectures" / stem for f in search.folders("device") for sub in ("", "gpu"))
    return next(p for p in options if p.is_file())


def _numbers(column: pd.Series) -> Array:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
