"""What it costs to predict the rows of a software stack with another stack's kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from simulator.profiles import load_runtime
from simulator.validation.calibrate_result import errors_of, scored
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.table import predict_frame, read_table

FAMILIES = ("gemm", "moe", "attention", "mla", "elementwise")
STACKS = ("trtllm", "sglang", "vllm")
FEWEST = 10


def stack_scores(folder: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """(stack and family, score lines) of every stack predicted by its closest relative ("stack"), and by the other one
    that fits least ("unknown stack"). Kernel names are left out: another stack does not know them."""
    for family in FAMILIES:
        path = folder / "kernels" / f"{family}.csv"
        if not path.is_file():
            continue
        table = read_table(path)
        stack = table["fw"].map(runtime_of)
        for own in STACKS:
            rows = table[(stack == own).to_numpy()].reset_index(drop=True)
            if len(rows) >= FEWEST:
                yield f"{own} kernels, {family}", _swapped(rows, family, own)


def _swapped(rows: pd.DataFrame, family: str, own: str) -> pd.DataFrame:
    measured = pd.to_numeric(rows["us"]).to_numpy(dtype=np.float64) * 1e-6
    shipped = _seconds(rows)
    others = {s: _seconds(rows.assign(fw=s, kernel="")) for s in STACKS if s != own}
    scores = {s: scored(rows, family, measured, shipped, seconds, True) for s, seconds in others.items()}
    scores = {s: part[np.isfinite(part["predicted"])] for s, part in scores.items()}
    closest = next((s for s in load_runtime(own).closest if s in scores), next(iter(scores)))
    farthest = max(scores, key=lambda s: float(np.median(errors_of(scores[s]))))
    return pd.concat(
        [
            scores[closest].assign(kind="stack", left_out=own, stand_in=closest),
            scores[farthest].assign(kind="unknown stack", left_out=own, stand_in=farthest),
        ]
    )


def _seconds(rows: pd.DataFrame) -> np.ndarray:
    _, predicted = predict_frame(rows)
    return np.asarray(predicted["predicted_us"].astype(float).to_numpy(dtype=np.float64) * 1e-6)
