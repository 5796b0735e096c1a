"""silicast: forecasts what silicon will do.

A cycle-approximate, discrete-event simulator of AI accelerators (NVIDIA GPU, Google TPU, Huawei Ascend) for
large-language-model work: latency, energy and cost of a deployment, with the reason for each.

Public API: ``simulate(scenario, overrides)`` -> Result, ``compare(scenario, devices, overrides)``, ``sweep(scenario, axes,
overrides)`` and the ``load_*`` functions of the profiles room. Imports are lazy, so that ``import simulator`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "simulate": "simulator.study.simulate",
    "compare": "simulator.study.compare",
    "sweep": "simulator.study.sweep",
    "load_device": "simulator.profiles",
    "load_system": "simulator.profiles",
    "load_model": "simulator.profiles",
    "load_runtime": "simulator.profiles",
    "load_prices": "simulator.profiles",
    "load_scenario": "simulator.profiles",
}
__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'simulator' has no attribute {name!r}; public: {', '.join(__all__)}")
