"""Predicted against measured: one line a measured value, and error tables by family, device, vendor, size and stack.

The error of a row is |predicted / measured - 1|. A row that is not predicted has none: it lowers the coverage.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import ProfileError, load_device
from simulator.profiles.errors import fail
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.table import predict_frame, read_table

METRICS: Mapping[str, Mapping[str, str]] = {
    "serving": {
        "ttft_ms": "predicted_ttft_ms",
        "tpot_ms": "predicted_tpot_ms",
        "output_tok_s_per_dev": "predicted_output_tok_s_per_dev",
        "input_tok_s_per_dev": "predicted_input_tok_s_per_dev",
    },
    "energy": {
        "avg_power_w_per_dev": "predicted_power_w_per_dev",
        "energy_j_per_out_tok": "predicted_j_per_out_tok",
        "output_tok_s_per_dev": "predicted_output_tok_s_per_dev",
    },
    "training": {
        "step_time_s": "predicted_step_time_s",
        "tokens_per_s_per_device": "predicted_tokens_per_s_per_device",
    },
}
"""Family of end-to-end tables -> measured column -> predicted column; kernel tables have ``us`` alone."""

KERNEL_METRIC = {"us": "predicted_us"}
SIZES = (("below 20 us", 20.0), ("20 to 200 us", 200.0), ("above 200 us", math.inf))
VENDORS = {"nvidia": "GPU", "google": "TPU", "huawei": "Ascend"}
WORST = 20
NO_MEASUREMENTS = ("sources",)  # tables that lie beside measurements and are none

Rows = pd.DataFrame
Errors = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Accuracy:
    """rows: one line a measured value, see ``compare``. tables: the measurement tables by name, for a second look."""

    rows: Rows
    tables: Mapping[str, pd.DataFrame]


def validate_files(paths: Sequence[Path], before_each: Callable[[str], None] = lambda name: None) -> Accuracy:
    """Predict every table of ``paths`` (CSV files, folders of them) and compare. ProfileError: nothing to compare."""
    parts, tables = [], {}
    for name, path in tables_in(paths):
        before_each(name)
        table = read_table(path)
        if "id" not in table:
            table = table.assign(id=[str(i) for i in range(len(table))])
        family, predicted = predict_frame(table, str(path))
        parts.append(compare(name, family.name, predicted))
        tables[name] = table
    if not parts:
        raise fail(", ".join(map(str, paths)), 0, "", "holds no table of measurements", allowed="CSV tables or folders")
    return Accuracy(pd.concat(parts, ignore_index=True), tables)


def tables_in(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """(name, file) of every measurement table; a table in a folder is named by its path inside, without ``.csv``."""
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*.csv")):
                if file.stem not in NO_MEASUREMENTS:
                    yield file.relative_to(path).with_suffix("").as_posix(), file
        else:
            yield path.stem, path


def compare(name: str, family: str, predicted: pd.DataFrame) -> Rows:
    """One line a measured value of a predicted table.

    Columns: table, position (row of the table), family, metric, device, vendor, size, stack, kernel, op, dtype,
    measured, predicted (NaN: not predicted), error, fidelity, reason.
    """
    parts = []
    for measured, column in METRICS.get(family, KERNEL_METRIC).items():
        if measured not in predicted:
            continue
        truth, guess = _positive(predicted[measured]), _positive(predicted[column])
        keep = np.isfinite(truth)
        if measured == "ttft_ms" and "ttft_ok" in predicted:
            keep &= (predicted["ttft_ok"] != "0").to_numpy()
        part = _facts(predicted)
        part = part.assign(table=name, family=family, metric=measured, measured=truth, predicted=guess)
        part["size"] = [size_class(us) if measured == "us" else "" for us in truth.tolist()]
        part["error"] = np.abs(guess / truth - 1.0)
        parts.append(part[keep])
    empty = _facts(predicted.iloc[:0]).assign(error=pd.Series(dtype=float))
    return pd.concat(parts, ignore_index=True) if parts else empty


def size_class(us: float) -> str:
    """Name of the size class of a kernel time in microseconds ("" for none)."""
    return next(name for name, limit in SIZES if us < limit) if math.isfinite(us) else ""


def _facts(table: pd.DataFrame) -> pd.DataFrame:
    def text(*names: str) -> list[str]:
        found = next((table[n] for n in names if n in table), None)
        return [""] * len(table) if found is None else [str(v) for v in found]

    facts = pd.DataFrame(
        {"position": np.arange(len(table)), "device": text("device"), "op": text("op", "task", "mode")}
    )
    facts["vendor"] = [vendor_of(d) for d in facts["device"]]
    facts["stack"] = [runtime_of(fw) for fw in text("fw", "framework")]
    return facts.assign(
        kernel=text("kernel", "model"),
        dtype=text("dtype", "weight_precision", "precision"),
        fidelity=text("fidelity"),
        reason=text("unsupported"),
    )


@lru_cache(maxsize=256)
def vendor_of(device: str) -> str:
    """GPU, TPU or Ascend; "" for a device that no profile describes."""
    try:
        return VENDORS[load_device(device).vendor]
    except ProfileError:
        return ""


def _positive(column: pd.Series[Any]) -> Errors:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def summary(error: Errors) -> dict[str, float]:
    """rows, coverage (0 to 1), and median, mean and 90th percentile error in percent; NaN entries are not predicted."""
    known = np.sort(error[np.isfinite(error)])
    line: dict[str, float] = {"rows": len(error), "coverage": len(known) / len(error) if len(error) else 0.0}
    if not len(known):
        return line | {"median": math.nan, "mean": math.nan, "p90": math.nan}
    return line | {
        "median": statistics.median(known.tolist()) * 100,
        "mean": float(known.mean()) * 100,
        "p90": float(known[min(len(known) - 1, int(0.9 * len(known)))]) * 100,
    }


def summarise(rows: Rows, by: Sequence[str]) -> pd.DataFrame:
    """``summary`` of every group of ``rows`` that agree on the columns ``by``, in their order of appearance."""
    lines = []
    for key, group in rows.groupby(list(by), sort=False):
        names = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
        lines.append(names | summary(group["error"].to_numpy(dtype=np.float64)))
    return pd.DataFrame(lines, columns=[*by, "rows", "coverage", "median", "mean", "p90"])


def tables_of(rows: Rows) -> dict[str, pd.DataFrame]:
    """Error tables by what they split the rows of a family by: all, vendor, device, size, stack."""
    what = ["family", "metric"]
    sized = rows[rows["size"] != ""]
    order = {name: i for i, (name, _) in enumerate(SIZES)}
    sizes = summarise(sized, [*what, "size"])
    return {
        "all": summarise(rows, what),
        "vendor": summarise(rows, [*what, "vendor"]),
        "device": summarise(rows, [*what, "device"]).sort_values(["family", "metric", "device"]),
        "size": sizes.assign(order=sizes["size"].map(order)).sort_values(["family", "order"]).drop(columns="order"),
        "stack": summarise(rows, [*what, "stack"]).sort_values(["family", "metric", "stack"]),
        "kernel": summarise(sized, [*what, "stack", "kernel"]).sort_values(["family", "stack", "kernel"]),
    }


def tidy(rows: Rows) -> pd.DataFrame:
    """All error tables as one: family, metric, by, group, rows, coverage, median, mean, p90."""
    parts = []
    for by, table in tables_of(rows).items():
        names = [c for c in table.columns if c in (by, "stack", "kernel")]
        group = table[names].agg(" ".join, axis=1) if names and len(table) else "all"
        parts.append(table.assign(by=by, group=group))
    columns = ["family", "metric", "by", "group", "rows", "coverage", "median", "mean", "p90"]
    return pd.concat(parts, ignore_index=True)[columns]


def worst_rows(rows: Rows, count: int = WORST) -> Rows:
    """The ``count`` predicted rows that are farthest off as a ratio, either way."""
    known = rows[np.isfinite(rows["error"])]
    off = np.abs(np.log(known["predicted"] / known["measured"]))
    order = np.argsort(-off.to_numpy(dtype=np.float64), kind="stable")
    worst: Rows = known.iloc[order[:count]]
    return worst
