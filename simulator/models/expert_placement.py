"""Where the experts of a layer lie: physical slots of an expert-parallel group, replicas of hot experts, even packing.

A placement is an integer array of slots: entry s is the logical expert in slot s, and a rank owns the same number of
consecutive slots. Source: deepseek-ai/EPLB (hierarchical and global policy of its README); DeepSeek-V3 report, section
3.4 (redundant experts).
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Slots = npt.NDArray[np.int64]


def contiguous(experts: int, redundant: int = 0) -> Slots:
    """Checkpoint order; redundant slots repeat the experts from the first one on."""
    return np.concatenate([np.arange(experts), np.arange(redundant) % experts]).astype(np.int64)


def replicate(loads: Floats, slots: int) -> Slots:
    """``slots`` slots for the experts of ``loads``: each extra one goes to the expert with the most load per replica.

    ValueError: fewer slots than experts.
    """
    if slots < len(loads):
        raise ValueError(f"{slots} slots do not hold {len(loads)} experts")
    held = list(range(len(loads)))
    hottest = [(-load, expert, 1) for expert, load in enumerate(loads)]
    heapq.heapify(hottest)
    for _ in range(slots - len(loads)):
        _, expert, copies = hottest[0]
        held.append(expert)
        heapq.heapreplace(hottest, (-loads[expert] / (copies + 1), expert, copies + 1))
    return np.asarray(held, dtype=np.int64)


def pack(loads: Floats, packs: int) -> Slots:
    """Items of each pack, shape (packs, items / packs): heaviest first, each to the lightest pack with room.

    ValueError: the items do not divide.
    """
    if len(loads) % packs:
        raise ValueError(f"{len(loads)} items do not divide over {packs} packs")
    room = len(loads) // packs
    lightest: list[tuple[float, int]] = [(0.0, p) for p in range(packs)]
    found: list[list[int]] = [[] for _ in range(packs)]
    for item in np.argsort(-loads, kind="stable"):
        weight, p = lightest[0]
        found[p].append(int(item))
        if len(found[p]) == room:
            heapq.heappop(lightest)
        else:
            heapq.heapreplace(lightest, (weight + float(loads[item]), p))
    return np.asarray(found, dtype=np.int64)


def replicated(loads: Floats, redundant: int, ranks: int, groups: int = 1, nodes: int = 1) -> Slots:
    """Replicas of the hottest experts, packed evenly on ranks with an equal number of slots.

    Where the expert groups of the gate divide over the nodes, each group stays on one node (packed evenly, replicas
    inside the node), so that a token still reaches no more nodes than its gate keeps groups; else all experts are
    placed over all ranks at once. ValueError: the slots do not divide over the ranks.
    """
    experts, slots = len(loads), len(loads) + redundant
    if slots % ranks:
        raise ValueError(f"{slots} slots do not divide over {ranks} ranks")
    if groups % nodes or ranks % nodes or slots % nodes or experts % groups:
        groups, nodes = 1, 1
    size = experts // groups
    placed = []
    for of_node in pack(loads.reshape(groups, size).sum(axis=1), nodes):
        held = (of_node[:, None] * size + np.arange(size)).ravel()
        copies = replicate(loads[held], slots // nodes)
        order = pack(slot_loads(loads[held], copies), ranks // nodes)
        placed.append(held[copies[order]].ravel())
    return np.concatenate(placed)


def slot_loads(loads: Floats, placement: Slots) -> Floats:
    """Load of every slot: an expert's load is shared evenly by its replicas."""
    count = np.bincount(placement, minlength=len(loads))
    return np.asarray((loads / np.maximum(count, 1))[placement], dtype=np.float64)
