"""silicast: forecasts what silicon will do.

A cycle-approximate, discrete-event simulator of AI accelerators (NVIDIA GPU, Google TPU, Huawei Ascend) for
large-language-model work: latency, energy and cost of a deployment, with the reason for each.
"""

__version__ = "0.1.0"
