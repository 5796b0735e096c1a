"""Datasheet peaks of a device of any vendor: FLOP/s by rate class, memory rate and capacity, and the roofline of a work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from simulator.devices.ascend.hardware import WIDER as CUBE_WIDER
from simulator.ops.tensor import Number
from simulator.ops.work import Work
from simulator.profiles.ascend import Ascend
from simulator.profiles.gpu import Gpu
from simulator.profiles.tpu import Tpu

Device: TypeAlias = Gpu | Tpu | Ascend

# Rate classes that may stand in, fastest first, where a device has no rate of its own: the operands are widened.
WIDER = {
    "fp4": ("fp8", "int8", "bf16"),
    "int4": ("int8", "fp8", "bf16"),
    "fp8": ("bf16",),
    "int8": ("fp8", "bf16"),
    "tf32": ("fp32", "bf16"),
    "fp32": ("tf32", "bf16"),
}


def peak_flops(device: Device) -> Mapping[str, float]:
    """Matrix FLOP/s by rate class of the whole device at its datasheet clock."""
    if isinstance(device, Gpu):
        return {r: device.core.sms * device.core.tensor_clock * f for r, f in device.core.tensor_flop_per_clk.items()}
    if isinstance(device, Tpu):
        return dict(device.core.peak)
    return {r: device.core.aic * device.core.clock * f for r, f in device.core.cube_flop_per_clk.items()}


def rate_for(peaks: Mapping[str, float], rate: str, wider: Mapping[str, tuple[str, ...]] = WIDER) -> float:
    """FLOP/s at which ``rate`` runs: its own, else the first wider class the device has. KeyError if there is none."""
    for candidate in (rate, *wider.get(rate, ())):
        if candidate in peaks:
            return peaks[candidate]
    raise KeyError(f"no matrix rate for {rate!r}; the device has {', '.join(sorted(peaks))}")


def roofline_seconds(work: Work, device: Device, share: float = 1.0) -> Number:
    """max(FLOPs over peak, bytes over bandwidth) on ``share`` of the device; no floor, no fabric."""
    peaks = peak_flops(device)
    wider = WIDER | CUBE_WIDER if isinstance(device, Ascend) else WIDER
    compute = sum((f / rate_for(peaks, r, wider) for r, f in work.matmul_flops().items()), start=0.0)
    memory = (work.bytes_read() + work.bytes_written()) / device.memory.bandwidth
    return np.maximum(compute, memory) / share
