"""Arrays behind the values of a graph: seeded global weights and inputs, and the slice of them that one rank holds."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from simulator.models.graph import Graph, Value
from simulator.numerics.ranks import Ranks
from simulator.ops.op import Array
from simulator.ops.tensor import TensorSpec

Arrays = dict[str, Array]


def weights_of(graph: Graph, seed: int = 0) -> Arrays:
    """Global weights by name, from the one-device graph. Equal names and shapes give equal numbers in every graph."""
    limits = _index_limits(graph)
    return {v.name: _weight(v, seed, limits.get(v.id, 0)) for v in graph.values if v.role == "weight"}


def inputs_of(graph: Graph, vocabulary: int, first_position: int, seed: int = 1) -> Arrays:
    """Global inputs by name: token ids, positions that start at ``first_position``, caches of earlier tokens."""
    return {v.name: _input(v, vocabulary, first_position, seed) for v in (graph.values[i] for i in graph.inputs)}


def shape_of(spec: TensorSpec) -> tuple[int, ...]:
    """Concrete shape; ValueError if a dimension is symbolic or fractional."""
    dims = []
    for d in spec.shape:
        if np.ndim(d) or not float(d).is_integer():
            raise ValueError(f"the numeric backend needs whole shapes, got {spec.shape}")
        dims.append(int(d))
    return tuple(dims)


def local_weight(value: Value, whole: Array, rank: int, ranks: Ranks) -> Array:
    """The part of a global weight or cache that ``rank`` holds according to the value's shard annotations."""
    part = whole
    for tag in (value.shard, value.shard_also):
        if tag is not None and ranks.size(tag[1]) > 1:
            part = _cut(value, part, tag, ranks.position(rank, tag[1]), ranks.size(tag[1]))
    return part


def local_input(value: Value, whole: Array, rank: int, ranks: Ranks) -> Array:
    """The part of a global input that ``rank`` works on: its requests, then its slice of a sharded cache."""
    replicas = ranks.size("dp")
    mine = np.split(whole, replicas, axis=0)[ranks.position(rank, "dp")] if replicas > 1 else whole
    return local_weight(value, mine, rank, ranks)


def _merged_names(name: str) -> list[str]:
    """layers.3.q_a+kv_a.weight -> layers.3.q_a.weight, layers.3.kv_a.weight."""
    body, tail = name.rsplit(".", 1)
    scope, dot, joined = body.rpartition(".")
    return [f"{scope}{dot}{part}.{tail}" for part in joined.split("+")]


def _cut(value: Value, whole: Array, tag: tuple[int, str], position: int, size: int) -> Array:
    axis, group = tag
    extent = whole.shape[axis]
    if group == "ep":  # replicas fill the slots beyond the logical experts
        held = shape_of(value.spec)[axis]
        slots: Array = np.take(whole, (position * held + np.arange(held)) % extent, axis=axis)
        return slots
    blocks = value.blocks if value.blocks and sum(value.blocks) == extent else (extent,)
    ways = value.ways if len(value.ways) == len(blocks) else blocks
    pieces, start = [], 0
    for block, limit in zip(blocks, ways, strict=True):
        slices = min(size, limit)
        width = block // slices
        first = start + position * slices // size * width
        pieces.append(np.take(whole, np.arange(first, first + width), axis=axis))
        start += block
    return np.concatenate(pieces, axis=axis)


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(name.encode())))


def _weight(value: Value, seed: int, limit: int) -> Array:
    g, shape = _generator(seed, value.name), shape_of(value.spec)
    if value.spec.dtype in ("int32", "int64"):
        rows = [g.permutation(limit)[: shape[-1]] for _ in range(int(np.prod(shape[:-1])))]
        return np.array(rows, dtype=np.int64).reshape(shape)
    if len(shape) >= 2:
        return np.asarray(g.normal(size=shape)) / float(np.sqrt(shape[-1]))
    if value.name.endswith("norm.weight"):
        return 1.0 + 0.1 * np.asarray(g.normal(size=shape))
    return 0.3 * np.asarray(g.normal(size=shape))


def _input(value: Value, vocabulary: int, first_position: int, seed: int) -> Array:
    g, shape = _generator(seed, value.name), shape_of(value.spec)
    if value.role == "cache":  # before the first token recurrent states are zero
        return g.normal(size=shape) if first_position > 0 else np.zeros(shape)
    if value.name == "positions":
        return np.broadcast_to(first_position + np.arange(shape[-1]), shape).copy()
    ids: Array = g.integers(0, vocabulary, size=shape)
    return ids


def _index_limits(graph: Graph) -> dict[int, int]:
    """For weights that hold indices (hash routing): how many things the first input of their reader can choose from."""
    limits: dict[int, int] = {}
    for node in graph.nodes:
        for i in node.inputs:
            value = graph.values[i]
            if value.role == "weight" and value.spec.dtype in ("int32", "int64"):
                limits[i] = shape_of(graph.values[node.inputs[0]].spec)[-1]
    return limits


def global_of(arrays: Mapping[str, Array], value: Value) -> Array:
    """The global array of a source value; merged weights (a+b) are stacked. KeyError names it if nobody created it."""
    if value.name not in arrays and "+" in value.name:
        return np.concatenate([arrays[name] for name in _merged_names(value.name)], axis=0)
    if value.name not in arrays:
        raise KeyError(f"no array for {value.role} {value.name!r} {value.spec.shape}")
    return arrays[value.name]
