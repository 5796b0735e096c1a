"""YAML profiles -> validated, unit-checked, sourced values. The only room that knows YAML."""

from simulator.profiles.errors import Fault, ProfileError
from simulator.profiles.figures import Figure
from simulator.profiles.kernels import Kernel, KernelTable, NoKernelError, load_kernels
from simulator.profiles.library import (
    figures_of,
    list_names,
    load_device,
    load_model,
    load_prices,
    load_runtime,
    load_scenario,
    load_system,
)

__all__ = [
    "Fault",
    "Figure",
    "Kernel",
    "KernelTable",
    "NoKernelError",
    "ProfileError",
    "figures_of",
    "list_names",
    "load_device",
    "load_kernels",
    "load_model",
    "load_prices",
    "load_runtime",
    "load_scenario",
    "load_system",
]
