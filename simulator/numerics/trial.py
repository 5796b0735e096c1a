"""Builds a tiny model's graph for a step and a layout and executes it with shared weights: what the checks compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

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
    """Execute one step. ``step.batch`` counts the requests of all ranks; ``given`` replaces inputs by name."""
    options, layout = options or Options(), layout or Layout()
    plain = replace(options, fusions=(), overlap="none")
    graph, weights, generated = _one_device(model, _key(step), plain, formats)
    inputs = {**generated, **{name: _newest(array, generated[name]) for name, array in (given or {}).items()}}
    if layout.devices > 1 or options != plain:
        mine = replace(step, batch=int(step.batch) // layout.dp)
        graph = build(model, mine, layout, formats, options)
    return execute(graph, weights, _micro_batches(inputs) if options.overlap != "none" else inputs)


def _newest(array: Array, like: Array) -> Array:
    """The most recent rows of a given cache, as many as the step keeps; other inputs must fit as they are."""
    if array.ndim > 1 and array.shape[1] > like.shape[1]:
        array = array[:, array.shape[1] - like.shape[1] :]
    if array.shape != like.shape:
        raise ValueError(f"given input has shape {array.shape}, the step needs {like.shape}")
    return array


def _micro_batches(inputs: Arrays) -> Arrays:
    """Both halves of every input under the names the overlap pass gives them."""
    halves = {name: np.array_split(whole, 2, axis=0) for name, whole in inputs.items()}
    return {f"mb{i}.{name}": part for name, parts in halves.items() for i, part in enumerate(parts)}


def sources(model: Model, step: StepShape) -> tuple[Arrays, Arrays]:
    """Global weights and inputs of a step by name."""
    _, weights, inputs = _one_device(model, _key(step), Options(), EXACT)
    return weights, inputs


_Key = tuple[tuple[str, int, int, int, int], ...]


def _key(step: StepShape) -> _Key:
    """Sizes of the step, then those of its groups."""
    sizes = (step.phase, int(step.batch), int(step.q_len), int(step.kv_len), int(step.sampled))
    return (sizes, *(key for g in step.groups for key in _key(g)))


@lru_cache(maxsize=16)
def _one_device(model: Model, key: _Key, options: Options, formats: Formats) -> tuple[Graph, Arrays, Arrays]:
    """Graph, weights and inputs of a step on one device."""
    sizes, *groups = key
    step = StepShape(*sizes, groups=tuple(StepShape(*g) for g in groups))  # type: ignore[arg-type]
    graph = build(model, step, None, formats, options)
    return graph, weights_of(graph), inputs_of(graph, model.vocab_size, int(step.past_len))


def logits(result: Run) -> list[Array]:
    """Vocabulary scores of all requests [B, s, V], gathered if the vocabulary is split, micro-batches joined."""
    found = result.joined("logits_gather") or result.joined("logits")
    return [np.concatenate(found, axis=0)]


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
    for o in reversed(outputs):  # states come last
        after = graph.values[o].spec.shape
        if len(after) == len(shape) and after[-1] == shape[-1] and after[0] == shape[0]:
            return o
    raise ValueError(f"no output continues the cache {graph.values[before].name!r}")
