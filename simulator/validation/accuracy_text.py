"""Words and Markdown of the accuracy report: what a family's rows are, headline lines, tables between markers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from simulator.validation.accuracy import summarise

WHAT = {
    "gemm": "dense matrix products",
    "grouped_gemm": "matrix products of expert groups",
    "moe": "expert layers with routed loads",
    "attention": "grouped-query attention, prefill and decode",
    "mla": "latent attention: cores and whole modules",
    "dsa": "sparse attention: indexer, top-k, gathered core, modules",
    "elementwise": "norms, activations, rotary embedding, quantisation",
    "sparse_gather": "row gathers and scatters, routing permutations",
    "memcpy": "copies inside device memory",
    "collectives": "all-reduce, all-gather and kin",
    "deepep": "expert-parallel dispatch and combine",
    "link": "transfers between two devices",
    "moe_layer": "expert layer of a training step",
    "serving": "whole deployments under load",
    "energy": "board or system power under load",
    "training": "training steps",
}
"""Family -> what one of its rows is, in the order of the report."""

METRIC_NAMES = {
    "us": "",
    "ttft_ms": "time to first token",
    "tpot_ms": "time per output token",
    "output_tok_s_per_dev": "output tokens/s per device",
    "input_tok_s_per_dev": "input tokens/s per device",
    "avg_power_w_per_dev": "power per device",
    "energy_j_per_out_tok": "energy per output token",
    "step_time_s": "step time",
    "tokens_per_s_per_device": "tokens/s per device",
}
VENDOR_NAMES = ("GPU", "TPU", "Ascend")
START, END = "<!-- accuracy -->", "<!-- /accuracy -->"


def label(family: str, metric: str) -> str:
    """Name of a family's metric as tables show it; kernel times go by the family alone."""
    name = METRIC_NAMES.get(metric, metric)
    return f"{family}: {name}" if name else family


def family_order(family: str) -> int:
    """Place of a family in the report."""
    return list(WHAT).index(family) if family in WHAT else len(WHAT)


def headline(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One line a family and metric: name, what, ``summary`` of all rows, and the median of each vendor (NaN: no rows)."""
    what = ["family", "metric"]
    medians = summarise(rows, [*what, "vendor"]).set_index([*what, "vendor"])["median"]
    lines = []
    for line in summarise(rows, what).to_dict("records"):
        family, metric = str(line["family"]), str(line["metric"])
        by_vendor = {v: float(medians.get((family, metric, v), math.nan)) for v in VENDOR_NAMES}
        known = {"name": label(family, metric), "what": WHAT.get(family, "")}
        lines.append({**{str(k): v for k, v in line.items()}, **known, **by_vendor})
    return sorted(lines, key=lambda r: family_order(r["family"]))


def markdown_headline(rows: pd.DataFrame) -> str:
    """The headline as a Markdown table; metrics of which nothing is predicted yet are left out."""
    cells = [
        [r["name"], r["what"], f"{r['rows']:,}", f"{r['coverage'] * 100:.0f}%", pct(r["median"]), pct(r["p90"])]
        + [pct(r[v]) for v in VENDOR_NAMES]
        for r in headline(rows)
        if r["coverage"] > 0
    ]
    heads = ["family", "what", "rows", "predicted", "median error", "p90", *VENDOR_NAMES]
    return markdown_table(heads, cells)


def markdown_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table; columns whose cells all begin with a digit or a dash are right-aligned."""
    numeric = [all(row[i][:1].isdigit() or row[i] == "-" for row in cells) for i in range(len(heads))]
    rules = ["---:" if right else "---" for right in numeric]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, rules, *cells))


def pct(value: float) -> str:
    """A percentage with one decimal; "-" where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.1f}%"


def between_markers(text: str, content: str) -> str:
    """``text`` with ``content`` between the accuracy markers; unchanged where it has none."""
    head, mark, rest = text.partition(START)
    _, end, tail = rest.partition(END)
    return f"{head}{mark}\n{content}\n{end}{tail}" if mark and end else text
