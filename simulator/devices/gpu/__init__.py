"""NVIDIA GPU core models: work terms x device profile x kernel -> cost, array in, array out."""

from simulator.devices.gpu.matmul import matmul_cost

__all__ = ["matmul_cost"]
