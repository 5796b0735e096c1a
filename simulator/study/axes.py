"""Axes of a sweep: names, values, and which of them are swept inside one graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simulator.profiles.aliases import canonical_path
from simulator.profiles.errors import fail

# Sizes that the operator graph carries as arrays: one build and one costing covers all their values.
VECTORISED = ("phases.decode.batch", "phases.decode.context", "phases.prefill.batch", "phases.prefill.isl")
RETARGETING = ("device", "system")
SUFFIXES = {"k": 1024, "K": 1024, "M": 1024**2}


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: the name the user wrote, its canonical path and its values as text."""

    name: str
    path: str
    values: tuple[str, ...]

    @property
    def numbers(self) -> tuple[float, ...] | None:
        """Values as numbers, None if one is not."""
        try:
            return tuple(float(v) for v in self.values)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Axes:
    """All axes of a grid, in the order given."""

    all: tuple[Axis, ...]

    @property
    def structural(self) -> tuple[Axis, ...]:
        """Axes that need a deployment of their own per value."""
        return tuple(a for a in self.all if a.path not in VECTORISED)

    @property
    def vectorised(self) -> tuple[Axis, ...]:
        """Axes swept as arrays."""
        return tuple(a for a in self.all if a.path in VECTORISED)

    @property
    def structural_points(self) -> int:
        """Deployments to build."""
        return math.prod(len(a.values) for a in self.structural)

    def structural_grid(self) -> Iterator[dict[Axis, str]]:
        """Every combination of structural values."""
        axes = self.structural
        for combination in itertools.product(*(a.values for a in axes)):
            yield dict(zip(axes, combination, strict=True))


def parse_axes(texts: Mapping[str, str]) -> Axes:
    """Axes from ``{"context": "1K,4K", "model": "a,b", "isl": "1K..128K"}``; ``a..b`` doubles from a to b.

    ProfileError: an empty axis, a value given twice, or two axes of one parameter.
    """
    axes: list[Axis] = []
    for name, text in texts.items():
        values = tuple(v for part in text.split(",") for v in _expand(name, part.strip()) if v)
        if not values:
            raise fail("--axis", 0, name, "has no values", text)
        if len(set(values)) != len(values):
            raise fail("--axis", 0, name, "has a value twice", text)
        path = canonical_path(name)
        if any(a.path == path for a in axes):
            raise fail("--axis", 0, name, f"is another name of an axis already given ({path})")
        axes.append(Axis(name, path, values))
    return Axes(tuple(axes))


def _expand(name: str, part: str) -> list[str]:
    first, dots, last = part.partition("..")
    if not dots:
        return [_plain(part)]
    low, high = _plain(first), _plain(last)
    if not (low.isdigit() and high.isdigit()) or not 0 < int(low) <= int(high):
        raise fail("--axis", 0, name, "is not a range of whole numbers", part, "first..last with 0 < first <= last")
    steps = [int(low)]
    while steps[-1] * 2 <= int(high):
        steps.append(steps[-1] * 2)
    return [str(v) for v in steps]


def _plain(value: str) -> str:
    """``4K`` as ``4096``; anything else unchanged."""
    if len(value) > 1 and value[-1] in SUFFIXES and value[:-1].isdigit():
        return str(int(value[:-1]) * SUFFIXES[value[-1]])
    return value
