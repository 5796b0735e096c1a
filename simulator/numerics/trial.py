"""Builds a tiny model's graph for a step and a layout and executes it with shared weights: what the checks compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from simulator.models.build import build
from simulator.models.formats import Formats
from simulator.models.graph import Graph
from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.numerics.executor import Run, execute
from simulator.numerics.tensors import Arrays, inputs_of, weights_of
from simulator.ops.op import Array
from simulator.profiles.model import Model

EXACT = Formats(index_scores="bfloat16", index_cache="bfloat16")  # nothing is rounded: arrays stay float64
BATCH = 4  # requests over all data-parallel ranks


def prefill(tokens: int, batch: int = BATCH) -> StepShape:
    """A prompt of ``tokens`` from an empty cache; every position goes through the head."""
    return StepShape("prefill", batch, tokens, tokens, sampled=tokens)


def decode(context: int, new: int = 1, batch: int = BATCH) -> StepShape:
    """``new`` tokens behind a cache, ``context`` in all."""
    return StepShape("decode", batch, new, context)


def run(
    model: Model,
    step: StepShape,
    layout: Layout | None = None,
    options: Options | None = None,
    formats: Formats = EXACT,
    given: Mapping[str, Array] | None = None,
) -> Run:
    """Execute one step. ``step.batch`` counts the requests of all ranks; ``given`` replaces generated inputs by name."""
    whole = build(model, step, None, formats, options)
    inputs = {**inputs_of(whole, model.vocab_size, int(np.max(step.past_len))), **(given or {})}
    weights = weights_of(whole)
    if layout is None or layout.devices == 1:
        return execute(whole, weights, inputs)
    return execute(sharded(model, step, layout, options, formats), weights, inputs)


def sharded(
    model: Model, step: StepShape, layout: Layout, options: Options | None = None, formats: Formats = EXACT
) -> Graph:
    """The graph of one rank: requests are spread over the data-parallel ranks."""
    return build(model, replace(step, batch=step.batch // layout.dp), layout, formats, options)


def logits(result: Run) -> list[Array]:
    """Vocabulary scores of all requests [B, s, V], gathered if the vocabulary is split."""
    return result.joined("logits_gather") or result.joined("logits")


def next_caches(result: Run) -> Arrays:
    """Caches after the step under the names of the caches before it (one rank)."""
    caches: Arrays = {}
    graph, held = result.graph, result.values[0]
    for node in graph.nodes:
        for i in node.inputs:
            before = graph.values[i]
            if before.role == "cache":
                caches[before.name] = held[_successor(graph, before.id, node.outputs)]
    return caches


def _successor(graph: Graph, before: int, outputs: tuple[int, ...]) -> int:
    """The output that continues a cache: same rank and same last axis."""
    shape = graph.values[before].spec.shape
    for o in outputs:
        after = graph.values[o].spec.shape
        if len(after) == len(shape) and after[-1] == shape[-1] and after[0] == shape[0]:
            return o
    raise ValueError(f"no output continues the cache {graph.values[before].name!r}")
