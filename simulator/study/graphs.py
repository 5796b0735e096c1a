"""Graphs of steps, built once and shared by all devices that run the same step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from simulator.models.build import build, finish, fold
from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.profiles.model import Model


@dataclass(frozen=True, slots=True)
class _Sizes:
    """A StepShape of whole numbers only, which can be a key."""

    phase: Literal["prefill", "decode"]
    batch: int
    q_len: int
    kv_len: int
    sampled: int
    groups: tuple[_Sizes, ...]

    def shape(self) -> StepShape:
        """The StepShape again."""
        groups = tuple(g.shape() for g in self.groups)
        return StepShape(self.phase, self.batch, self.q_len, self.kv_len, self.sampled, groups)


def graph_of(model: Model, shape: StepShape, layout: Layout, formats: Formats, options: Options) -> Graph:
    """The graph one rank executes (``models.build``). ValueError: the layout does not fit the model."""
    sizes = _sizes(shape)
    return (
        build(model, shape, layout, formats, options)
        if sizes is None
        else _built(model, sizes, layout, formats, options)
    )


def folded_graph_of(model: Model, shape: StepShape, layout: Layout, formats: Formats, options: Options) -> Graph:
    """The same before its layers are unrolled."""
    sizes = _sizes(shape)
    return (
        fold(model, shape, layout, formats, options)
        if sizes is None
        else _folded(model, sizes, layout, formats, options)
    )


def _sizes(shape: StepShape) -> _Sizes | None:
    numbers = (shape.batch, shape.q_len, shape.kv_len, shape.sampled)
    groups = tuple(_sizes(g) for g in shape.groups)
    if None in groups or not all(isinstance(n, int) for n in numbers):
        return None
    return _Sizes(shape.phase, *numbers, groups)  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _built(model: Model, sizes: _Sizes, layout: Layout, formats: Formats, options: Options) -> Graph:
    return finish(_folded(model, sizes, layout, formats, options), model, sizes.shape(), layout, options)


@lru_cache(maxsize=64)
def _folded(model: Model, sizes: _Sizes, layout: Layout, formats: Formats, options: Options) -> Graph:
    return fold(model, sizes.shape(), layout, formats, options)
