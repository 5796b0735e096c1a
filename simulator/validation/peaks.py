"""Published peak rates beside what the core models reach: dense products, cache reads, all-reduce, expert exchange."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles.output import make_folder, write_atomically
from simulator.validation.accuracy_text import markdown_table
from simulator.validation.predict.table import predict_frame, read_table

PUBLISHED = "published.csv"
LEFT_OUT = "left_out.csv"
WITHIN = 0.07
LADDER = tuple(product((4096, 8192, 16384), (4096, 8192, 16384, 65536), (4096, 8192, 16384, 65536)))
"""(m, n, k) tried where a published peak is the best of many shapes."""


def peaks(file: Path) -> pd.DataFrame:
    """One line a published peak: what, device, published, predicted, unit, ratio, source, reason.

    file: CSV of peaks with the columns of a measurement table (a mixed one); a product without m, n, k is the best of LADDER.
    ProfileError: not such a table, or a row that nothing predicts.
    """
    table = read_table(file)
    shaped = _with_ladder(table)
    _, predicted = predict_frame(shaped.drop(columns=["what", "published", "rate", "source", "reason", "peak"]))
    seconds = predicted["predicted_us"].to_numpy(dtype=np.float64) * 1e-6
    reached = _reached(shaped, seconds)
    best = pd.Series(reached).groupby(shaped["peak"].to_numpy()).max()
    slow = table["rate"] == "us"
    value = best.sort_index().to_numpy()
    found = table[["what", "device", "rate", "source", "reason"]].rename(columns={"rate": "unit"})
    found.insert(2, "published", table["published"].astype(float))
    found.insert(3, "predicted", np.where(slow, -value, value))
    found.insert(4, "ratio", found["predicted"] / found["published"])
    return found


def _with_ladder(table: pd.DataFrame) -> pd.DataFrame:
    """Each product without a shape once for every shape of the ladder; ``peak`` numbers the line it came from."""
    parts = []
    for number, row in enumerate(table.to_dict("records")):
        line = {str(k): v for k, v in row.items()} | {"peak": number}
        open_shape = line["op"] == "gemm" and not line["m"]
        shapes = LADDER if open_shape else ((line["m"], line["n"], line["k"]),)
        parts += [line | {"m": str(m), "n": str(n), "k": str(k)} for m, n, k in shapes]
    return pd.DataFrame(parts)


def _reached(rows: pd.DataFrame, seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Predicted figure of each row in the unit of its peak; times are negated so that the largest is the best."""
    work = [_work(row) for row in rows.to_dict("records")]
    return np.array([-s * 1e6 if w is None else w / s for w, s in zip(work, seconds, strict=True)])


def _work(row: dict[Any, Any]) -> float | None:
    """What is divided by the time: TFLOP of a product, GB of a cache, GB over the bus; None where the time itself counts."""
    if row["op"] == "gemm":
        return 2e-12 * float(row["m"]) * float(row["n"]) * float(row["k"])
    if row["op"].startswith("attention_decode"):
        size = 1 if "8" in row["kv_dtype"] and "bf" not in row["kv_dtype"] else 2
        sizes = [float(row[c]) for c in ("batch", "kv_len", "kv_heads", "head_dim")]
        return 2e-9 * size * float(np.prod(sizes))
    if row["op"] == "allreduce":
        n = float(row["gpus"])
        return 2e-9 * float(row["bytes"]) * (n - 1) / n  # nccl-tests, PERFORMANCE.md: bus bandwidth of an all-reduce
    return None


def write_peaks(folder: Path) -> None:
    """README.md in ``folder`` from its published.csv."""
    found = peaks(folder / PUBLISHED)
    off = (found["ratio"] - 1).abs()
    lines = [
        "# Published peaks",
        "",
        f"{int((off <= WITHIN).sum())} of {len(found)} published peaks are reproduced within {WITHIN:.0%}, median difference",
        f"{off.median():.1%}.",
        "Where two sources publish the same rate, their mean stands. Products without a stated shape: the best of a ladder of large",
        "shapes. Latencies of the expert exchange are for 128 tokens a rank, hidden size 7168, 8 experts a token. Regenerate with",
        "`python reports/regenerate.py peaks`.",
        "",
        _table(found, bool((off > WITHIN).any())),
        "",
        *_left_out(folder / LEFT_OUT),
    ]
    make_folder(folder)
    write_atomically(folder / "README.md", "\n".join(lines))


def _table(found: pd.DataFrame, reasons: bool) -> str:
    """reasons: a column says why a difference is more than WITHIN."""
    heads = ["what", "device", "published", "predicted", "unit", "difference", "source"]
    cells = [_cells(line) for line in found.to_dict("records")]
    if reasons:
        return markdown_table([*heads, f"why, where it is more than {WITHIN:.0%}"], cells)
    return markdown_table(heads, [line[:-1] for line in cells])


def _left_out(file: Path) -> list[str]:
    """Published rates that are not compared, and why; nothing without such a file."""
    if not file.is_file():
        return []
    lines = pd.read_csv(file).to_dict("records")
    cells = [[r["what"], r["device"], f"{r['published']:,.0f}", r["unit"], r["source"], r["reason"]] for r in lines]
    table = markdown_table(["what", "device", "published", "unit", "source", "why it is not compared"], cells)
    return ["## Left out", "", table, ""]


def _cells(line: dict[Any, Any]) -> list[str]:
    off = line["ratio"] - 1
    why = line["reason"] if abs(off) > WITHIN else ""
    numbers = [f"{line['published']:,.0f}", f"{line['predicted']:,.0f}", line["unit"], f"{off:+.1%}"]
    return [line["what"], line["device"], *numbers, line["source"], why]
