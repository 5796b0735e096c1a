"""How large the slice of a tensor is that one rank holds: arithmetic of the shard pass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from simulator.models.graph import Value
from simulator.ops.tensor import TensorSpec

# parallel group behind each logical axis of a weight
GROUP_OF = {"heads": "tp", "ffn": "tp", "vocab": "tp", "experts": "ep", "expert_width": "moe_tp"}
Widths = tuple[tuple[int, int], ...]
"""(global, local) sizes of blocks that lie side by side on a split axis."""


def cuts_of(value: Value, sizes: Mapping[str, int]) -> list[tuple[int, str]]:
    """(axis, group) of every cut of a value that its groups really make."""
    tags = [(s[0], GROUP_OF[s[1]]) for s in (value.shard, value.shard_also) if s is not None]
    return [(axis, group) for axis, group in tags if sizes[group] > 1]


def local_spec(value: Value, cuts: list[tuple[int, str]], sizes: Mapping[str, int], extra_experts: int) -> TensorSpec:
    """Spec of one rank's slice; ``extra_experts`` replicas are held beside the logical experts."""
    spec = value.spec
    for axis, group in cuts:
        whole = int(np.max(spec.shape[axis]))
        size = (
            (whole + extra_experts) // sizes[group] if group == "ep" else _rows(value, axis, sizes[group], whole, group)
        )
        spec = spec.with_shape(*spec.shape[:axis], size, *spec.shape[axis + 1 :])
    return spec


def slice_of(size: int, ranks: int, limit: int, name: str) -> int:
    """Rows of one rank when ``size`` is cut into at most ``limit`` slices. ValueError if it does not divide."""
    ways = min(ranks, limit)
    if size % ways:
        raise ValueError(f"{name}: {size} does not divide over {ways} ranks")
    return size // ways


def block_widths(value: Value, ranks: int) -> Widths:
    """(global, local) size of every block of a stacked weight."""
    ways = value.ways or value.blocks
    return tuple((size, slice_of(size, ranks, w, value.name)) for size, w in zip(value.blocks, ways, strict=True))


def pieces_of(sizes: tuple[int, ...], widths: Widths) -> list[Widths]:
    """Blocks of each piece of a split: consecutive blocks whose global sizes add up to the piece."""
    pieces, rest = [], list(widths)
    for size in sizes:
        piece: list[tuple[int, int]] = []
        while sum(whole for whole, _ in piece) < size:
            piece.append(rest.pop(0))
        pieces.append(tuple(piece))
    return pieces


def _rows(value: Value, axis: int, ranks: int, whole: int, group: str) -> int:
    tags = [t for t in (value.shard, value.shard_also) if t is not None]
    stacked = value.blocks and next(a for a, name in tags if GROUP_OF[name] == group) == axis
    blocks = value.blocks if stacked else (whole,)
    ways = value.ways or (whole,) * len(blocks)
    return sum(slice_of(block, ranks, limit, value.name) for block, limit in zip(blocks, ways, strict=True))
