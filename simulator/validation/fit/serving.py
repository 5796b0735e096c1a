"""Fit of a stack's host values on closed-loop serving rows: robust least squares on the log errors of TPOT and TTFT.

    python -m simulator.validation.fit.serving MEASUREMENTS [runtime ...]

Step times come from the kernel models as they are; only what the host adds is fitted, per runtime, over all models and devices.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import least_squares

from simulator.profiles import figures_of, load_runtime
from simulator.profiles.kernels import canonical_runtime
from simulator.profiles.runtime import Host
from simulator.validation.fit.figure_file import write_figures
from simulator.validation.fit.suspect_rows import SUSPECT
from simulator.validation.predict.serving_cases import evaluate
from simulator.validation.predict.serving_engines import Fleet
from simulator.validation.predict.serving_rows import generation
from simulator.validation.predict.table import MEASURED

Floats = npt.NDArray[np.float64]
BOUNDS = {
    "step": (2e-5, 4e-3),
    "sequence": (2e-7, 5e-5),
    "first_token": (1e-3, 0.2),
    "eager_layer": (1e-5, 1.5e-3),
    "prompt_share": (0.7, 1.0),
}
DEFECTIVE = frozenset(
    [
        f"aic-{i}"
        for i in (449, 450, 454, 457, 458, 459, 461, 462, 463, 465, 574, 575, 579, 582, 583, 584, 586, 589, 756)
    ]
    + [f"aic-{i}" for i in (882, 884, 885, 886, 887, 888, 890, 910, 4212, 4216, 4217, 2322, 3416, 3491)]
)
"""Rows whose TTFT is warm-up, whose concurrency is mis-encoded, or which contradict themselves; fits leave them out."""
TTFT_WEIGHT, SOFT, PRIOR = 0.6, 0.15, 0.05
ROWS, MOST_CLIENTS, SEED = 140, 256, 7


def training_rows(table: pd.DataFrame, runtime: str, rows: int = 0) -> pd.DataFrame:
    """Closed-loop engine rows of ``runtime`` (tier A, aggregated), evenly over models and devices."""
    clients = pd.to_numeric(table["concurrency"], errors="coerce")
    keep = (
        (table["tier"] == "A")
        & (table["mode"] == "agg")
        & (table["arrival"] == "closed_loop")
        & (clients <= MOST_CLIENTS)
    )
    stacks = [
        generation(canonical_runtime(f), v) for f, v in zip(table["framework"], table["framework_version"], strict=True)
    ]
    keep &= pd.Series(stacks, index=table.index).eq(runtime) & ~table["id"].isin(SUSPECT | DEFECTIVE)
    part = table[keep].sample(frac=1.0, random_state=SEED)
    turn = part.groupby(["model", "device", "weight_precision"]).cumcount()
    return part.iloc[np.argsort(turn.to_numpy(), kind="stable")[: rows or ROWS]]


def residuals(fleet: Fleet, rows: Sequence[Mapping[str, str]], host: Host, runtime: str) -> Floats:
    """Weighted log errors of TPOT and TTFT."""
    fleet.hosts[runtime] = host
    found = []
    for row in rows:
        outcome = evaluate(fleet, {k: v for k, v in row.items() if k not in MEASURED}).outcome
        found.append(np.log(outcome.tpot * 1e3 / float(row["tpot_ms"])))
        if row["ttft_ms"] and row["ttft_ok"] != "0":
            found.append(TTFT_WEIGHT * np.log(outcome.ttft * 1e3 / float(row["ttft_ms"])))
    return np.array(found)


def fit(table: pd.DataFrame, runtime: str, fleet: Fleet | None = None) -> tuple[Host, int]:
    """Host values of ``runtime`` that fit its rows best, and how many rows there were."""
    start = load_runtime(runtime).host
    if start is None:
        raise ValueError(f"{runtime} does not serve")
    rows = [{str(k): v for k, v in r.items()} for r in training_rows(table, runtime).to_dict("records")]
    names, fleet = list(BOUNDS), fleet or Fleet()
    low, high = (np.log([BOUNDS[n][i] for n in names]) for i in (0, 1))
    first = np.clip(np.log([max(getattr(start, n), 1e-9) for n in names]), low + 1e-3, high - 1e-3)

    def errors(x: Floats) -> Floats:
        host = replace(start, **dict(zip(names, np.exp(x).tolist(), strict=True)))
        return np.concatenate([residuals(fleet, rows, host, runtime), PRIOR * (x - first)])

    done = least_squares(errors, first, bounds=(low, high), loss="soft_l1", f_scale=SOFT, diff_step=0.05, max_nfev=6)
    return replace(start, **dict(zip(names, np.exp(done.x).tolist(), strict=True))), len(rows)


def store(runtime: str, host: Host, rows: int) -> list[Path]:
    """Writes fitted values into the runtime's YAML."""
    figures = figures_of(load_runtime(runtime))
    found = {n: figures[f"host.{n}"] for n in BOUNDS if f"host.{n}" in figures}
    return write_figures({(f.file, f.line): (f, getattr(host, n), rows) for n, f in found.items()})


def main(arguments: Sequence[str]) -> None:
    """Fit every runtime named (default: those with tier A rows) and write its values."""
    table = pd.read_csv(Path(arguments[0]) / "serving.csv", dtype=str, keep_default_na=False)
    for runtime in arguments[1:] or ("vllm", "vllm-2025", "sglang", "sglang-2025", "trtllm", "trtllm-2025"):
        store(runtime, *fit(table, runtime))


if __name__ == "__main__":
    main(sys.argv[1:])
