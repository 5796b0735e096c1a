"""The fused projections before absorbed MLA attention: three dependent products, each spread over all cores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.devices.ascend.matmul import as_cost, body, product_of, shaped, start
from simulator.devices.cost import Cost
from simulator.ops.work import Matmul
from simulator.profiles.ascend import Ascend
from simulator.profiles.kernels import Kernel


def prolog_cost(stages: tuple[Matmul, ...], device: Ascend, kernel: Kernel) -> Cost:
    """Seconds of a fused chain of products with a barrier after each.

    The kernel works on ``token_tile`` tokens at a time and streams all weights again for every tile; what of them stays
    in L2 is not read from HBM a second time.
    """
    tile = float(kernel.traits.get("token_tile", 128))
    products = [product_of(stage) for stage in stages]
    l2 = device.memory.l2_capacity
    weights = sum((p.b_bytes() for p in products), start=np.zeros(1))
    missing = np.clip((weights - l2 / 2.0) / (l2 / 2.0), 0.0, 1.0)
    total = Cost(start(device, kernel))
    for product in products:
        again = np.maximum(np.ceil(product.rows.max(-1) / tile) - 1.0, 0.0)
        cut = replace(product, rows=np.minimum(product.rows, tile))
        barrier = kernel.values.get("stage_start", 0.0)
        total = total + as_cost(body(cut, device, kernel), barrier)
        total = total + _times(as_cost(body(cut, device, kernel, from_hbm=missing), barrier), again)
    return shaped(total, products[0].shape)


def _times(cost: Cost, count: np.ndarray) -> Cost:
    """``cost`` repeated ``count`` times."""
    busy = {unit: count * seconds for unit, seconds in cost.busy.items()}
    return Cost(count * cost.seconds, busy, {level: count * moved for level, moved in cost.bytes.items()})
