"""Attention over gathered keys: each query token reads its own selected cache rows."""

from __future__ import annotations

from simulator.devices.cost import Cost
from simulator.devices.gpu.attention_decode import decode_cost
from simulator.ops.work import Attention
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel


def sparse_cost(term: Attention, gpu: Gpu, kernel: Kernel, warm: bool = False) -> Cost:
    """Placeholder: the decode schedule."""
    return decode_cost(term, gpu, kernel, warm)
