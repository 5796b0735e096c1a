"""NVIDIA GPU core models: work terms x device profile x kernel -> cost, array in, array out."""

from simulator.devices.gpu.fused_moe import FusedMoe, fused_moe_cost
from simulator.devices.gpu.grouped_matmul import Loads, even_loads, grouped_matmul_cost, ragged_loads
from simulator.devices.gpu.matmul import matmul_cost

__all__ = [
    "FusedMoe",
    "Loads",
    "even_loads",
    "fused_moe_cost",
    "grouped_matmul_cost",
    "matmul_cost",
    "ragged_loads",
]
