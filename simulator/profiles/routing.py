"""How tokens choose experts and where the experts lie: the ``routing`` section of a scenario."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from simulator.profiles.errors import fail
from simulator.profiles.fields import Ratio
from simulator.profiles.yaml_source import Located, display, read_text, scalar

STEEPEST = 10.0


@dataclass(frozen=True, slots=True)
class Routing:
    """Popularity of the experts and their placement on the ranks of an expert-parallel group.

    distribution: balanced (every rank the same load in every step), uniform (experts equally popular, tokens choose at
    random: small batches are uneven), zipf (the i-th most popular of the experts has weight i^-exponent; which one it is
    differs by layer and is drawn from ``seed``), loads (``loads``: relative tokens of each expert in checkpoint order).
    placement: contiguous (checkpoint order; redundant experts repeat the first ones), replicated (redundant experts copy
    the hottest ones, then all are packed evenly), auto (replicated where there are redundant experts, else contiguous).
    """

    distribution: Literal["balanced", "uniform", "zipf", "loads"] = "balanced"
    exponent: Ratio = 1.0
    loads: tuple[float, ...] = ()
    placement: Literal["auto", "contiguous", "replicated"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.exponent <= STEEPEST:
            raise ValueError(f"exponent must lie in 0 .. {STEEPEST:g}, not {self.exponent}")
        if self.distribution == "loads" and not self.loads:
            raise ValueError("loads: distribution loads needs one weight per expert")
        if self.loads and self.distribution != "loads":
            raise ValueError(f"loads: given, but distribution is {self.distribution!r}; set distribution: loads")
        if any(x < 0 for x in self.loads) or (self.loads and not sum(self.loads) > 0):
            raise ValueError("loads: weights must be at least 0 and not all 0")

    def misfit(self, experts: int, topk: int) -> str:
        """Why the loads do not fit a model of ``experts`` experts, ``topk`` per token; "" if they do."""
        if not self.loads:
            return ""
        if len(self.loads) != experts:
            return f"{len(self.loads)} weights, but the model has {experts} experts"
        most = max(self.loads) / sum(self.loads)
        if most * topk > 1 + 1e-9:
            return f"one expert has {most:.1%} of the load; a token chooses {topk} different ones, so at most {1 / topk:.1%}"
        return ""


def inline_loads(root: Located) -> Located:
    """A scenario's tree with ``routing.loads: file`` replaced by the weights in the file.

    The path is relative to the scenario's folder (to the working folder in an override). CSV: one weight a line or
    ``expert,weight`` lines, a heading allowed; JSON: a list or {"loads": [...]}. ProfileError: unreadable, no numbers.
    """
    routing = root.child("routing")
    node = routing.child("loads") if routing is not None else None
    if routing is None or node is None or not isinstance(node.value, str):
        return root
    path = Path(node.value)
    folder = Path(node.file).parent if node.line else Path()
    path = path if path.is_absolute() else folder / path
    if not path.is_file():
        raise fail(
            node.file, node.line, "routing.loads", "no such file", node.given(), "a list of weights, a CSV or JSON file"
        )
    weights = _json(path, node) if path.suffix == ".json" else _csv(path, node)
    changed = replace(routing, value=routing.mapping | {"loads": replace(node, value=weights)})
    return replace(root, value=root.mapping | {"routing": changed})


def _json(path: Path, node: Located) -> list[Located]:
    try:
        document: Any = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise fail(display(path), error.lineno, "", f"not valid JSON: {error.msg}") from None
    found = document.get("loads") if isinstance(document, dict) else document
    if not isinstance(found, list) or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in found):
        raise fail(display(path), 0, "loads", "not a list of weights", allowed='[1, 2 ...] or {"loads": [1, 2 ...]}')
    return [Located(x, display(path), 0, 1, str(x)) for x in found]


def _csv(path: Path, node: Located) -> list[Located]:
    """Weights of a CSV file; a first column of two is the number of the expert and puts them in order."""
    rows = [(i, r) for i, r in enumerate(csv.reader(read_text(path).splitlines()), 1) if any(c.strip() for c in r)]
    if rows and not any(isinstance(scalar(c.strip()), int | float) for c in rows[0][1]):
        rows = rows[1:]
    found: list[tuple[float, Located]] = []
    for line, row in rows:
        values = [scalar(c.strip()) for c in row]
        if len(values) > 2 or any(not isinstance(v, int | float) or isinstance(v, bool) for v in values):
            raise fail(display(path), line, "", "not a weight", ",".join(row), "a number, or expert,weight")
        weight = Located(values[-1], display(path), line, 1, row[-1].strip())
        found.append((float(values[0]) if len(values) == 2 else float(line), weight))  # type: ignore[arg-type]
    return [weight for _, weight in sorted(found, key=lambda pair: pair[0])]
