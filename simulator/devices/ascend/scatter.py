"""Expert routing, cache scatters and element-wise gathers on the vector cores of an Ascend device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.ascend.vector import Memory, memory
from simulator.devices.cost import Cost
from simulator.ops.tensor import Dim, Number
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel

SORT_ALONE_ROWS = 8192  # up to this many keys one core sorts alone
PAIR_BYTES = 16.0  # key and index of a pair, read and written by every merge
MERGE_WAYS = 4.0  # sorted lists that one merge joins
LONE = 2.0  # rate of a core that streams alone, over its share when all cores do
SECTOR = 32.0  # bytes an element drags along when it is read alone


@dataclass(frozen=True, slots=True, eq=False)
class Routing:
    """Sort of (token, expert) pairs by expert and expansion of the token rows.

    pairs: pairs sorted. tokens: distinct rows read. kept: expanded rows written. cols: elements of a row. size: bytes
    of an element. quantised: rows leave as int8.
    """

    pairs: Dim
    tokens: Dim
    kept: Dim
    cols: Dim
    size: float
    quantised: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Elements read from, or written to, places along one axis that an index tensor names.

    count: elements moved. source: bytes of the tensor they lie in. size, index: bytes of an element, of an index.
    scattered: written instead of read. copied: the tensor is copied before it is written. across: the axis is not the
    contiguous one and the kernel transposes tensor, indices and result around its work.
    """

    count: Dim
    source: Number
    size: float
    index: float
    scattered: bool = False
    copied: bool = False
    across: bool = False


def _cost(begin: float, body: np.ndarray, issue: np.ndarray, moved: Memory) -> Cost:
    busy = {"vector": issue, "hbm": moved.hbm_seconds, "l2": moved.l2_seconds, "launch": begin + 0.0 * body}
    return Cost(begin + body, busy, {"hbm": moved.hbm_bytes, "l2": moved.l2_bytes})


def routing_cost(work: Routing, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of expert routing.

    Few pairs are sorted by one core; many by all, in merges of four lists through memory. Values: start, sort_alone
    (s per pair sorted by one core), quantised_clocks (vector clocks per element quantised on the way).
    """
    v = kernel.values
    pairs, kept, cols = hw.array(work.pairs), hw.array(work.kept), hw.array(work.cols)
    sort = np.where(pairs <= SORT_ALONE_ROWS, pairs * v.get("sort_alone", 0.0), _merge_seconds(pairs, device))
    out = 1.0 if work.quantised else work.size
    moved = memory(cols * hw.array(work.tokens) * work.size, kept * cols * out, device)
    clocks = kept * cols * (v.get("quantised_clocks", 0.0) if work.quantised else 0.0)
    issue = clocks / (device.core.aiv * device.core.clock)
    begin = v.get("start", device.efficiencies.vector_start)
    return _cost(begin, sort + moved.seconds + issue, sort + issue, moved)


def _merge_seconds(pairs: np.ndarray, device: Ascend) -> np.ndarray:
    """Seconds of sorting ``pairs`` in runs and merging them, all cores streaming."""
    merges = np.ceil(np.log(np.maximum(pairs / SORT_ALONE_ROWS, 1.0)) / np.log(MERGE_WAYS))
    return np.asarray((1.0 + merges) * pairs * PAIR_BYTES / (device.memory.bandwidth * device.efficiencies.hbm_vector))


def combine_cost(rows: Dim, row_bytes: Dim, each: Dim, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of adding up the ``each`` weighted expert rows of every token, ``rows`` in all, whole tokens to a core.

    Values: start, row_clocks (wait for one row), token_clocks (least time of a token, however few rows it has).
    """
    e, v, core = device.efficiencies, kernel.values, device.core
    count, size, per_token = hw.array(rows), hw.array(row_bytes), np.maximum(hw.array(each), 1.0)
    tokens = count / per_token
    gathered = per_token * (v.get("row_clocks", e.gather_row) + size / e.vector_l2)
    issue = np.ceil(tokens / core.aiv) * np.maximum(gathered, v.get("token_clocks", 0.0)) / core.clock
    moved = memory(count * size, tokens * size, device)
    return _cost(v.get("start", e.vector_start), np.maximum(issue, moved.seconds), issue, moved)


def regroup_cost(rows: Dim, row_bytes: Dim, segments: float, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of bringing the rows of ``segments`` contiguous runs into another order, whole runs to a core.

    Every core walks the table of runs first. Values: start, segment_clocks (of one run).
    """
    e, v, core = device.efficiencies, kernel.values, device.core
    walk = segments * v.get("segment_clocks", 0.0) / core.clock
    total = hw.array(rows) * hw.array(row_bytes)
    moved = memory(total, total, device)
    longest = np.ceil(segments / core.aiv) * total / segments / (LONE * e.vector_l2 * core.clock)
    body = walk + np.maximum(moved.seconds, longest)
    return _cost(v.get("start", e.vector_start), body, walk + longest, moved)


def picked_cost(work: Picked, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of an element-wise gather or scatter: one element after the other on every core.

    Trait rewrites_sectors: an element written alone is read and written back with the sector around it. Values: start,
    element_clocks (of one element), strided_rate (B/clk of a vector core across a transposition).
    """
    e, v, cores = device.efficiencies, kernel.values, device.core.aiv * device.core.clock
    count, source = hw.array(work.count), hw.array(work.source)
    indices, picked = count * work.index, count * work.size
    whole = work.copied or work.across
    read = source if whole else np.minimum(source, count * SECTOR)
    sectors = count * SECTOR if kernel.traits.get("rewrites_sectors") else picked
    moved = memory(
        read + indices + (sectors if work.scattered else 0.0),
        (sectors if work.scattered else picked) + (source if work.copied else 0.0),
        device,
    )
    issue = count * v.get("element_clocks", 1.0) / cores
    turned = 2.0 * (source + indices + picked) / (cores * v.get("strided_rate", e.vector_l2)) if work.across else 0.0
    begin = v.get("start", e.vector_start)
    return _cost(begin, np.maximum(issue, moved.seconds) + turned, issue, moved)


def scatter_cost(rows: Dim, row_bytes: Dim, tensors: int, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of writing ``rows`` rows of each of ``tensors`` tensors into a layout of ``burst`` byte pieces.

    A core issues one burst after the other (burst_clocks); all together reach burst_share of the memory rate.
    """
    v = kernel.values
    burst = float(kernel.traits.get("burst", 32))
    pieces = np.ceil(hw.array(row_bytes) / burst)
    total = hw.array(rows) * tensors * pieces
    cores = np.clip(hw.array(rows) * tensors, 1.0, device.core.aiv)
    issue = total / cores * v.get("burst_clocks", 0.0) / device.core.clock
    spread = total * burst / (device.memory.bandwidth * v.get("burst_share", 1.0))
    begin = v.get("start", device.efficiencies.vector_start)
    traffic = total * burst * 2.0
    busy = {"vector": issue, "l2": spread, "hbm": traffic / device.memory.bandwidth, "launch": begin + 0.0 * issue}
    return Cost(begin + np.maximum(issue, spread), busy, {"hbm": traffic})
