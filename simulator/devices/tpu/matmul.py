"""Matrix products on the systolic arrays of a TPU.

XLA's fused matmul and Pallas kernels with an explicit block grid.
"""

from __future__ import annotations

import numpy as np

from simulator.devices.cost import Cost
from simulator.devices.tpu import hardware as hw
from simulator.ops.work import GroupedMatmul, Matmul
from simulator.profiles.dtypes import format_of
from simulator.profiles.kernels import Kernel
from simulator.profiles.tpu import Tpu


def array_seconds(
    rows: np.ndarray, n: np.ndarray, k: np.ndarray, passes: np.ndarray | float, device: Tpu, rate: str
) -> np.ndarray:
    """Seconds the arrays take for ``passes`` products of ``rows`` x k by k x n.

    Contraction and output dimension are padded to the array side S; a pass streams at least S rows, because that many
    cycles are needed to shift in the next weights. Source: scaling book, TPU chapter; MXU weight double buffering.
    """
    side = device.core.mxu_dim
    streamed = np.where(rows > 0, np.maximum(hw.padded(rows, hw.SUBLANES), side), 0.0)
    return np.asarray(2.0 * passes * streamed * hw.padded(n, side) * hw.padded(k, side) / hw.matrix_rate(device, rate))


def pipelined(compute: np.ndarray, transfer: np.ndarray, moved: np.ndarray, device: Tpu) -> np.ndarray:
    """Seconds of double-buffered compute and DMA: the longer one, plus the part of the shorter that cannot be hidden.

    unhidden is fill and drain; ``staging`` bytes must arrive before the first step and leave after the last one.
    """
    e = device.efficiencies
    exposed = e.unhidden + (1.0 - e.unhidden) * np.minimum(1.0, e.staging / np.maximum(moved, 1.0))
    return np.asarray(np.maximum(compute, transfer) + exposed * np.minimum(compute, transfer))


def matmul_cost(term: Matmul, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of a dense matmul on the device; blocks given in the kernel's traits make it a Pallas grid."""
    m, n, k, batch = np.broadcast_arrays(*(hw.array(x) for x in (term.m, term.n, term.k, term.batch)))
    a, b, out = (format_of(d).bytes for d in (term.a_dtype, term.b_dtype, term.out_dtype))
    if "block_m" in kernel.traits:
        return _grid((m, n, k), batch, (a, b, out), term.rate, device, kernel)
    compute = array_seconds(m, n, k, batch, device, term.rate)
    moved = np.asarray(batch * (m * k * a + n * k * b + m * n * out))
    transfer = moved / hw.stream_rate(device)
    begin = device.efficiencies.kernel_start
    return _cost(begin, pipelined(compute, transfer, moved, device), compute, transfer, moved)


def grouped_cost(term: GroupedMatmul, device: Tpu, kernel: Kernel) -> Cost:
    """Seconds of a ragged grouped matmul: each group with rows streams its own weights through the arrays.

    ``pack_ops`` vector operations per weight or activation element that the kernel widens or rescales add when the
    stack states them (fp8 packing is vector work on v7x).
    """
    rows, groups, n, k = (hw.array(x) for x in (term.rows, term.groups, term.n, term.k))
    a, b, out = (format_of(d).bytes for d in (term.a_dtype, term.b_dtype, term.out_dtype))
    if term.loads is not None:
        loads = np.asarray(term.loads, dtype=np.float64)
        each = array_seconds(loads, n[..., None], k[..., None], 1.0, device, term.rate)
        compute, active = each.sum(-1), (loads > 0).sum(-1).astype(np.float64)
    else:
        active = np.minimum(hw.array(term.active), rows)
        each = (rows / np.maximum(active, 1e-30) * (active > 0))[..., None] * term.relative_rows()
        passes = active[..., None] / each.shape[-1]
        compute = array_seconds(each, n[..., None], k[..., None], passes, device, term.rate).sum(-1)
    moved = np.asarray(rows * k * a + active * n * k * b + rows * n * out)
    transfer = moved / hw.stream_rate(device)
    packed = np.asarray(rows * n + active * n * k) * kernel.values.get("pack_ops", 0.0) / hw.vector_rate(device)
    begin = device.efficiencies.kernel_start + groups * kernel.values.get("group_start", 0.0)
    cost = _cost(begin, pipelined(np.maximum(compute, packed), transfer, moved, device), compute, transfer, moved)
    return Cost(cost.seconds, {**cost.busy, "vpu": packed}, cost.bytes)


def _grid(
    shape: tuple[np.ndarray, np.ndarray, np.ndarray],
    batch: np.ndarray,
    sizes: tuple[float, float, float],
    rate: str,
    device: Tpu,
    kernel: Kernel,
) -> Cost:
    """A Pallas grid: every step loads one block of each operand while the arrays work on the previous one."""
    (m, n, k), (a, b, out) = shape, sizes
    bm, bn, bk = (float(kernel.traits[f"block_{x}"]) for x in "mnk")
    tiles = batch * np.ceil(m / bm) * np.ceil(n / bn)
    steps = tiles * np.ceil(k / bk)
    loaded = bm * bk * a + bk * bn * b
    stored = bm * bn * out
    one = np.ones_like(m)
    product = array_seconds(bm * one, bn * one, bk * one, 1.0, device, rate)
    load = loaded / hw.stream_rate(device) * one
    begin = device.efficiencies.kernel_start + load + stored / hw.stream_rate(device)
    step = np.maximum(product, load) + kernel.values.get("grid_step", 0.0)
    moved = np.asarray(steps * loaded + tiles * stored)
    body = np.maximum(steps * step, moved / hw.stream_rate(device))
    return _cost(begin, body, steps * product, moved / hw.stream_rate(device), moved)


def _cost(
    begin: np.ndarray | float, body: np.ndarray, compute: np.ndarray, transfer: np.ndarray, moved: np.ndarray
) -> Cost:
    busy = {"mxu": compute, "hbm": transfer, "launch": begin + 0.0 * compute}
    return Cost(begin + body, busy, {"hbm": moved})
