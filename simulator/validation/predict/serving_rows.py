"""A row of serving.csv as an engine layout and an offered load."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from simulator.models.layout import Layout
from simulator.serving.load import Lengths

_NAMES = {
    "llama2-70b": "llama-2-70b",
    "gpt-oss": "gpt-oss-120b",
    "qwen3-235b": "qwen3-235b-a22b",
    "deepseek-r1-0528": "deepseek-r1",
    "r1": "deepseek-r1",
    "kimi-k2-thinking": "kimi-k2.5",
}
_SUFFIXES = (
    "-instruct",
    "-thinking",
    "-2507",
    "-it",
    "-fp8",
    "-nvfp4",
    "-awq",
    "-fp4",
    "-exp",
    "-16e",
    "-128e",
    "-17b",
)


def number(text: object) -> float:
    """A cell as a number, NaN if empty."""
    try:
        return float(str(text))
    except ValueError:
        return math.nan


def count(text: object, default: int = 0) -> int:
    """A cell as a whole number, ``default`` if empty."""
    value = number(text)
    return default if math.isnan(value) else max(round(value), 0)


def model_name(text: str, known: frozenset[str]) -> str:
    """Bundled model behind a published id: organisation, remarks and quantisation suffixes left out."""
    bare = re.split(
        r"[\s(]", text.rpartition("/")[2] if text.count("/") == 1 else text.split("/")[1] if "/" in text else text
    )[0].lower()
    bare = bare.removeprefix("nvidia-")
    seen = [bare]
    while True:
        bare = _NAMES.get(bare, bare)
        if bare in known:
            return bare
        cut = next((bare.removesuffix(s) for s in _SUFFIXES if bare.endswith(s)), "")
        if not cut or cut in seen:
            return bare
        bare = cut
        seen.append(bare)


@dataclass(frozen=True, slots=True)
class Workers:
    """Replicas of one phase and the layout of each."""

    replicas: int
    layout: Layout


def aggregated(row: Mapping[str, str], experts: bool, ranks_per_device: int, kv_heads: int = 0) -> Workers:
    """Layout of an aggregated engine; what the row leaves open is filled from the device count.

    kv_heads: of a stack that spreads experts over all ranks and attention over tensor groups no wider than its KV heads,
    each group with its own requests (XLA stacks); 0 = not so.
    """
    devices = max(count(row["num_devices"]), 1) * ranks_per_device
    dp, pp = max(count(row["dp_attn"]), 1), max(count(row["pp"]), 1)
    tp, ep, moe_tp = count(row["tp"]), count(row["ep"]), count(row["moe_tp"])
    if not tp and experts and kv_heads:
        ranks = max(devices // pp, 1)
        tp = math.gcd(kv_heads, ranks)
        return Workers(1, Layout(tp=tp, dp=ranks // tp, pp=pp, ep=ranks))
    if not tp:
        tp = min(8, max(devices // (dp * pp), 1))
        dp = max(devices // (tp * pp), 1) if experts else dp
    ranks = tp * dp
    if not experts:
        return Workers(max(devices // (tp * pp), 1), Layout(tp=tp, pp=pp))
    if not ep:
        ep = ranks if ranks > 8 else 1
    if moe_tp * ep > ranks and ranks and (moe_tp * ep) % ranks == 0:
        dp = max(moe_tp * ep // tp, 1)
        ranks = tp * dp
    replicas = max(devices // (ranks * pp), 1)
    return Workers(replicas, Layout(tp=tp, dp=dp, pp=pp, ep=min(ep, ranks)))


def phase_workers(row: Mapping[str, str], phase: str, ranks_per_device: int) -> Workers | None:
    """Layout of the prefill or decode pool of a disaggregated row; None if the row says nothing about it."""
    tp, dp, ep = (count(row[f"{phase}_{size}"]) for size in ("tp", "dp", "ep"))
    workers = count(row[f"{phase}_workers"], 1)
    if not (tp or dp or ep):
        return None
    tp = max(tp, 1)
    dp = dp or max((ep or 1) // tp, 1)
    if dp > 1 and ep <= 1:
        ep = tp * dp  # pools with attention data parallel spread their experts; the sources leave the size out
    return Workers(max(workers, 1), Layout(tp=tp, dp=dp, ep=max(ep, 1)))


def lengths(row: Mapping[str, str]) -> Lengths:
    """Prompt and output lengths of a row."""
    text = row["length_dist"].lower()
    isl, osl = max(count(row["isl"], 1), 1), max(count(row["osl"], 1), 1)
    if "sharegpt" in text:
        return Lengths(isl, osl, kind="long_tail")
    return Lengths(isl, osl, spread=0.2 if "0.8l" in text else 0.0)


# Mean accepted drafts by number of drafts where a row gives none. Source: InferenceX golden acceptance of DeepSeek models, A3 recipes.
ACCEPTED = {1: 0.7, 2: 1.15, 3: 1.44, 4: 1.54}


def speculation(text: str) -> tuple[int, float]:
    """(drafted tokens, mean tokens kept per step) of a spec_decode cell."""
    name = text.lower()
    drafted = re.search(r"mtp(\d)", name)
    drafts = int(drafted[1]) if drafted else 3 if "eagle" in name else 0
    if not drafts:
        return 0, 1.0
    kept = re.search(r"([\d.]+)(?: of \d drafts)? accepted", name)
    share = float(kept[1]) if kept else ACCEPTED.get(drafts, 0.6 * drafts)
    return drafts, 1.0 + min(share, drafts)


GENERATIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "vllm": ((r"2023|0\.[0-5](\.|$)", "vllm-2023"), (r"0\.([6-9]|1[0-3])(\.|$)", "vllm-2025")),
    "sglang": ((r"0\.(4|5\.[0-5])(\D|$)", "sglang-2025"),),
    "trtllm": ((r"1\.0(\D|$)", "trtllm-2025"),),
}
"""Versions (regular expression at the start) -> profile of that generation; stacks whose host work changed have one a generation."""


def generation(runtime: str, version: str) -> str:
    """The runtime profile of an engine's generation; without a known version the latest."""
    bare = version.strip().removeprefix("v")
    return next((name for pattern, name in GENERATIONS.get(runtime, ()) if re.match(pattern, bare)), runtime)
