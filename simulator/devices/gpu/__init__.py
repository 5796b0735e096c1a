"""NVIDIA GPU core models: work terms x device profile x kernel -> cost, array in, array out."""

from simulator.devices.gpu.attention import attention_cost
from simulator.devices.gpu.fused_moe import FusedMoe, fused_moe_cost
from simulator.devices.gpu.grouped_matmul import Loads, even_loads, grouped_matmul_cost, ragged_loads
from simulator.devices.gpu.indexer import index_scores_cost
from simulator.devices.gpu.matmul import matmul_cost
from simulator.devices.gpu.module import host_seconds, module_cost
from simulator.devices.gpu.top_k import top_k_cost

__all__ = [
    "FusedMoe",
    "Loads",
    "attention_cost",
    "even_loads",
    "fused_moe_cost",
    "grouped_matmul_cost",
    "host_seconds",
    "index_scores_cost",
    "matmul_cost",
    "module_cost",
    "ragged_loads",
    "top_k_cost",
]
