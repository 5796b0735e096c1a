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

    The kernel works on ``token_tile`` tokens at a time and streams all weights again for every tile.
    """
    tile = float(kernel.traits.get("token_tile", 128))
    total, shape = Cost(start(device, kernel)), None
    for stage in stages:
        product = product_of(stage)
        shape = product.shape
        tokens = product.rows.max(-1)
        passes = np.ceil(tokens / tile)
        cut = replace(product, rows=np.minimum(product.rows, tile))
        cost = as_cost(body(cut, device, kernel), kernel.values.get("stage_start", 0.0))
        busy = {unit: passes * s for unit, s in cost.busy.items()}
        total = total + Cost(passes * cost.seconds, busy, {"hbm": passes * cost.bytes["hbm"]})
    return total if shape is None else shaped(total, shape)
