"""A layer's kernels launched back to back: their device time, the small kernels between them, and the host that
launches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.devices.cost import ZERO, Cost
from simulator.devices.gpu.blocks import Floats, floats, smooth_max
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel

HOST_EXPONENT = 6.0  # host and device run apart: nearly the larger of the two


def module_cost(
    parts: Sequence[Cost], gpu: Gpu, kernel: Kernel, activations: object, host_seconds: object = 0.0
) -> Cost:
    """Sum of ``parts`` plus the norms, rotations, casts and copies between them, or the host's time if that is longer.

    activations: elements of all intermediate tensors of the layer. Values of the kernel: module_floor (s, fixed time
    of the small kernels), activation_bytes (bytes moved per intermediate element), launch_share (share of the kernels'
    own launch floors that remains when each starts while its predecessor drains). host_seconds: launch time of the
    layer on this system's CPU, 0 where a captured graph is replayed.
    """
    device = sum(parts, start=ZERO)
    floors = floats(device.busy.get("launch", 0.0))
    moved = floats(activations) * kernel.values.get("activation_bytes", 0.0)
    between = moved / (gpu.efficiencies.kv_stream * gpu.memory.bandwidth)
    floor = kernel.values.get("module_floor", 0.0)
    total = floats(device.seconds) - floors * (1.0 - kernel.values.get("launch_share", 1.0)) + between + floor
    host = floats(host_seconds)
    seconds = np.where(host > 0, smooth_max(total, host, HOST_EXPONENT), total)
    extra = Cost(
        seconds - floats(device.seconds), {"hbm": between, "launch": floor + 0.0 * total}, {"hbm": moved, "l2": moved}
    )
    both = device + extra
    return Cost(seconds, {**both.busy, "host": host + 0.0 * total}, both.bytes)


def host_seconds(
    kernel: Kernel, cpu_factor: float, requests: object = 0.0, long_context: object = False, quantised: float = 0.0
) -> Floats:
    """Time the host needs to launch one layer's kernels.

    host_floor (s) always, host_indexer (s) more for an indexer's kernels and once more for those of its search where the
    context is long, host_quantise (s) more for each of the ``quantised`` products (its activation pass), host_long
    (s) more when the indexer runs, host_request (s) more for every request of a long step.
    """
    v = kernel.values
    longer = np.where(
        np.asarray(long_context, dtype=bool),
        v.get("host_long", 0.0) + v.get("host_request", 0.0) * floats(requests),
        0.0,
    )
    indexer = v.get("host_indexer", 0.0) * (1.0 + np.asarray(long_context, dtype=np.float64))
    return cpu_factor * (v.get("host_floor", 0.0) + indexer + quantised * v.get("host_quantise", 0.0) + longer)
