"""What it costs to predict rows with another stack's kernel values: the factors for substituted and unknown stacks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import load_runtime
from simulator.validation.accuracy_bands import FEWEST, WIDEST, two_thirds
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.table import predict_frame

FAMILIES = ("gemm", "moe", "attention", "mla")
STACKS = ("trtllm", "sglang", "vllm")


def stack_factors(tables: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """derived: rows predicted as the stack that stands in for theirs; estimated: as the least fitting one.

    Both as ratios of the error two thirds of rows stay below to that with the rows' own stack (mean over families and
    stacks). Empty without such rows.
    """
    nearest, farthest = [], []
    for name, table in tables.items():
        if name.split("/")[-1] in FAMILIES and "fw" in table:
            for own, swapped in _swapped(table).items():
                base = max(own[1], 1.0)
                nearest.append(np.log(max(swapped[0], base) / base))
                farthest.append(np.log(max(swapped[1], base) / base))
    if not nearest:
        return {}
    factors = {"derived": float(np.exp(np.mean(nearest))), "estimated": float(np.exp(np.mean(farthest)))}
    return {name: float(np.clip(value, 1.05, WIDEST)) for name, value in factors.items()}


def _swapped(table: pd.DataFrame) -> dict[tuple[str, float], tuple[float, float]]:
    """(stack, its band) -> (band under its closest other stack, under the worst of the others)."""
    stack = table["fw"].map(runtime_of)
    found = {}
    for own in STACKS:
        rows = table[(stack == own).to_numpy()].reset_index(drop=True)
        if len(rows) < FEWEST:
            continue
        others = [s for s in STACKS if s != own]
        closest = next((s for s in load_runtime(own).closest if s in others), others[0])
        bands = {s: two_thirds(_errors(rows.assign(fw=s, kernel=""))) for s in others}
        found[own, two_thirds(_errors(rows))] = (bands[closest], max(bands.values()))
    return found


def _errors(rows: pd.DataFrame) -> npt.NDArray[np.float64]:
    _, predicted = predict_frame(rows)
    ratio = predicted["predicted_us"].astype(float) / pd.to_numeric(rows["us"])
    error = np.abs(ratio.to_numpy(dtype=np.float64) - 1.0)
    return error[np.isfinite(error)]
