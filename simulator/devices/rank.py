"""The share of a device that one software rank owns: all of it, or one core-device of a TPU chip that shows two."""

from __future__ import annotations

from dataclasses import replace

from simulator.devices.peaks import Device
from simulator.profiles.tpu import Tpu


def rank_of(device: Device, ranks_per_device: int) -> Device:
    """``device`` as one of its ``ranks_per_device`` ranks sees it. ValueError: the device cannot be split that way."""
    if ranks_per_device == 1:
        return device
    if not isinstance(device, Tpu) or device.core.core_devices != ranks_per_device:
        raise ValueError(f"{device.name} does not show {ranks_per_device} ranks")
    from simulator.devices.tpu import one_core

    core: Tpu = one_core(device)
    return replace(core)
