"""Vector passes and gathers on the vector cores of an Ascend device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.ascend.row_kernels import BROADCAST, ROW_KERNELS, RowKernel
from simulator.devices.cost import Cost
from simulator.ops.tensor import Number
from simulator.ops.work import Elementwise, Gather
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel

RESIDENCY = 4.0  # steepness of the fall from L2 to HBM


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Traffic of a pass: seconds on HBM and on the L2 ports, and the bytes behind them."""

    hbm_seconds: np.ndarray
    l2_seconds: np.ndarray
    hbm_bytes: np.ndarray
    l2_bytes: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """The longer of the two: both streams run side by side."""
        return np.asarray(np.maximum(self.hbm_seconds, self.l2_seconds))


def memory(read: Number, written: Number, device: Ascend, inside: Number = 0.0, *, warm: bool = False) -> Memory:
    """Moving ``read`` bytes in and ``written`` bytes out, and ``inside`` bytes out to L2 and in again.

    Inputs come from HBM (``warm``: from L2). What is written stays in L2; the share of it that goes on to HBM grows
    smoothly as the footprint outgrows ``l2_resident`` times L2. The ports of the vector cores read and write at once.
    """
    e, m = device.efficiencies, device.memory
    into, out = np.broadcast_arrays(hw.array(read), hw.array(written))
    resident = 1.0 / (1.0 + ((into + out) / (e.l2_resident * m.l2_capacity)) ** RESIDENCY)
    spilled = (1.0 - resident) * (out + 2.0 * hw.array(inside) + (into if warm else 0.0))
    hbm_bytes = spilled + (0.0 if warm else into)
    port = device.core.aiv * device.core.clock * e.vector_l2
    crossing = np.maximum(into, out) + hw.array(inside)
    return Memory(
        hbm_bytes / (m.bandwidth * e.hbm_vector), crossing / port, hbm_bytes, into + out + 2.0 * hw.array(inside)
    )


def elementwise_cost(term: Elementwise, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of a vector pass: start, then memory against instructions, the shorter of them partly uncovered.

    Traits: axis ("strided": the worked axis is not the contiguous one; "broadcast": an operand has one value per row),
    strided_rows ("transposed": such tensors are transposed before and after), batched_columns (shorter rows share a
    round trip where the operator allows it), issue_width (vector instructions that start together).
    Values: instruction_clocks (clocks a vector instruction occupies), row_clocks (per round trip of a row), row_start
    (start of a row-wise kernel on top of the plain one), kernel_start (per further kernel), strided_rate (B/clk of one
    vector core across a transposition).
    """
    e, v = device.efficiencies, kernel.values
    axis = kernel.traits.get("axis", "last")
    rows = BROADCAST if axis == "broadcast" else ROW_KERNELS.get(term.name)
    strided = axis == "strided"
    issue = _issue_seconds(term, rows, device, kernel, strided=strided)
    inside = 0.5 * rows.workspace * hw.array(term.elements()) if rows else 0.0
    moved = memory(term.bytes_read(), term.bytes_written(), device, inside)
    body = np.maximum(moved.seconds, issue) + e.unhidden * np.minimum(moved.seconds, issue)
    across = _transposed_seconds(term, rows, device, kernel) if strided else np.zeros_like(body)
    body = np.maximum(body, across) if term.name == "transpose" else body + across
    begin = e.vector_start + (v.get("row_start", 0.0) if rows else 0.0)
    begin += (term.kernels - 1) * v.get("kernel_start", e.vector_start)
    busy = {"vector": issue, "hbm": moved.hbm_seconds, "l2": moved.l2_seconds + across, "launch": begin + 0.0 * body}
    return Cost(begin + body, busy, {"hbm": moved.hbm_bytes, "l2": moved.l2_bytes})


def _issue_seconds(
    term: Elementwise, rows: RowKernel | None, device: Ascend, kernel: Kernel, *, strided: bool
) -> np.ndarray:
    """Seconds the vector cores issue instructions: elements over lanes, and the round trips of rows."""
    cores, clock = device.core.aiv, device.core.clock
    count, cols = np.broadcast_arrays(hw.array(term.rows), hw.array(term.cols))
    lanes = device.core.vector_op_per_clk * float(kernel.traits.get("issue_width", 1))
    instructions = np.maximum(term.ops + term.exps, rows.least_ops if rows else 0.0)
    per_element = instructions / lanes * kernel.values.get("instruction_clocks", 1.0)
    if rows is None or strided:
        return np.asarray(count * cols * per_element / (cores * clock))
    each = count / cores if rows.shared else np.ceil(count / cores)  # rows of the busiest core
    batch = float(kernel.traits.get("batched_columns", 0)) if rows.batched else 0.0
    share = np.minimum(1.0, cols / batch) if batch else 1.0
    waiting = rows.round_trips * share * kernel.values.get("row_clocks", 0.0)
    return np.asarray(each * (cols * per_element + waiting) / clock)


def _transposed_seconds(term: Elementwise, rows: RowKernel | None, device: Ascend, kernel: Kernel) -> np.ndarray:
    """Seconds of moving a tensor across its contiguous axis: the transposition itself, or there and back around rows."""
    moved = hw.array(term.bytes_read()) + hw.array(term.bytes_written())
    if term.name != "transpose":
        around = rows is not None and rows.round_trips >= 1 and kernel.traits.get("strided_rows") == "transposed"
        moved = 2.0 * moved if around else 0.0 * moved
    rate = device.core.aiv * device.core.clock * kernel.values.get("strided_rate", device.efficiencies.vector_l2)
    return np.asarray(moved / rate)


def gather_cost(term: Gather, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of moving scattered rows: each vector core issues its rows one after the other.

    Kernel values: start, row_clocks (wait for one row; without it the architecture's ``gather_row``).
    """
    e, v, core = device.efficiencies, kernel.values, device.core
    per_core = np.ceil(hw.array(term.rows) / core.aiv)
    each = v.get("row_clocks", e.gather_row) + hw.array(term.row_bytes) / e.vector_l2
    issue = per_core * each / core.clock
    moved = memory(term.bytes_read(), term.bytes_written(), device)
    begin = v.get("start", e.vector_start)
    body = np.maximum(issue, moved.seconds)
    busy = {"vector": issue, "hbm": moved.hbm_seconds, "l2": moved.l2_seconds, "launch": begin + 0.0 * body}
    return Cost(begin + body, busy, {"hbm": moved.hbm_bytes, "l2": moved.l2_bytes})
