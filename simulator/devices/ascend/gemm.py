"""Cost of dense and grouped matmul kernels: start of the kernel class, cube body, and what quantised kernels add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.devices.ascend import hardware as hw
from simulator.devices.ascend.matmul import Product, as_cost, body, product_of, shaped, start
from simulator.devices.cost import Cost
from simulator.ops.work import GroupedMatmul, Matmul
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel

# An 8-bit cube multiplies a 16-bit activation as high and low 8-bit halves plus the zero-point row: three rows for one.
ACTIVATION_SPLIT = 3.0


def matmul_cost(term: Matmul, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of a dense matmul kernel."""
    product = product_of(term)
    if product.b < product.a and product.rate == "bf16" and not device.core.direct_cube_vector:
        return shaped(_dequantising(product, device, kernel), product.shape)
    return shaped(as_cost(body(product, device, kernel), start(device, kernel)), product.shape)


def grouped_cost(term: GroupedMatmul, device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of a grouped matmul kernel: tiles of all groups share the cores; empty groups read no weights."""
    product = product_of(term)
    conversion, missing = _weight_conversion(term, product, device, kernel)
    cost = as_cost(body(product, device, kernel, from_hbm=missing), start(device, kernel))
    if kernel.traits.get("epilogue") == "swiglu_quant":
        cost = cost + _epilogue(product, device, kernel)
    return shaped(cost + conversion, product.shape)


def _dequantising(p: Product, device: Ascend, kernel: Kernel) -> Cost:
    """16-bit activations times 8-bit weights without a cube-vector path: the faster of two routes.

    Route 1 splits the activation into 8-bit parts and runs the 8-bit cube; route 2 lets the vector cores write 16-bit
    weights into L2 and runs the 16-bit cube on them.
    """
    split = replace(p, rows=p.rows * ACTIVATION_SPLIT, a=1.0, b=1.0, out=4.0 / ACTIVATION_SPLIT, rate="int8")
    streaming = replace(kernel, traits={**kernel.traits, "native_layout": True})
    cube = as_cost(body(split, device, streaming), 0.0)
    expanded = replace(p, b=p.a)
    elements = p.n * p.k * (p.count * (p.rows > 0)).sum(-1)
    vector = elements / (
        device.core.aiv * device.core.clock * kernel.values.get("dequantised_per_clk", device.core.vector_op_per_clk)
    )
    weights = elements * p.b / hw.hbm_rate(device)
    widened = as_cost(body(expanded, device, kernel, from_hbm=0.0), 0.0, np.maximum(vector, weights))
    begin = start(device, kernel)
    take = cube.seconds <= widened.seconds

    def choose(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        return np.where(take, x, y)

    busy = {u: choose(cube.busy.get(u, 0.0), widened.busy.get(u, 0.0)) for u in cube.busy}
    busy |= {"vector": choose(0.0, vector), "hbm": choose(cube.busy["hbm"], weights), "launch": begin + 0.0 * vector}
    hbm_bytes = choose(cube.bytes["hbm"], elements * p.b)
    return Cost(begin + choose(cube.seconds, widened.seconds), busy, {"hbm": hbm_bytes})


def _epilogue(p: Product, device: Ascend, kernel: Kernel) -> Cost:
    """SwiGLU and 8-bit quantisation of the product: a 32-bit workspace trip where cube and vector cores meet in L2."""
    trip = p.out_elements() * 4.0 / (device.core.aic * hw.write_rate(device))
    seconds = np.where(device.core.direct_cube_vector > 0, 0.0, trip) + kernel.values.get("epilogue_start", 0.0)
    return Cost(seconds, {"vector": seconds})


def _weight_conversion(
    term: GroupedMatmul, p: Product, device: Ascend, kernel: Kernel
) -> tuple[Cost, np.ndarray | float]:
    """Layout conversion of all weights before the product, and the share of them the product then reads from HBM.

    The copy reads cold weights and leaves its output in L2 as far as both fit; the rest is written and read again.
    """
    if kernel.traits.get("weight_layout") != "converted" or device.core.direct_cube_vector:
        return Cost(0.0), 1.0
    groups = np.broadcast_to(hw.array(term.groups), p.shape).ravel()
    weights = np.maximum(groups * p.n * p.k * p.b, 1.0)
    missing = np.clip((2.0 * weights - device.memory.l2_capacity) / weights, 0.0, 1.0)
    traffic = weights * (1.0 + missing)
    seconds = traffic / (hw.hbm_rate(device) * device.efficiencies.eight_bit_stream)
    return Cost(seconds, {"hbm": seconds}, {"hbm": traffic}), missing
