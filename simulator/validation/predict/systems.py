"""The system behind a measured row: the device's usual one, or the smallest described one that is large enough."""

from __future__ import annotations

from functools import lru_cache

from simulator.profiles import figures_of, list_names, load_device, load_system
from simulator.profiles.system import System


@lru_cache(maxsize=256)
def system_for(device: str, devices: int) -> System:
    """System of ``device`` whose scale-up domain holds ``devices`` (or whose network does)."""
    usual = load_system(load_device(device).default_system)
    if usual.scale_up.scope >= devices:
        return usual
    others = [load_system(name) for name in list_names("system")]
    fitting = [s for s in others if s.device == usual.device and s.scale_up.scope >= devices and s.scale_up.shape]
    return min(fitting, key=lambda s: s.scale_up.scope, default=usual)


def domains_of(system: System, nodes: int) -> int:
    """Scale-up domains that ``nodes`` hosts span (a rack-scale domain holds many hosts)."""
    hosts = max(1, system.scale_up.scope // system.devices_per_node)
    return -(-max(1, nodes) // hosts)


@lru_cache(maxsize=256)
def figure_kind(profile: str, field: str) -> str:
    """Kind of a figure of a bundled device or system ("estimated" if it has none)."""
    figure = figures_of(profile).get(field)
    return figure.kind if figure is not None else "estimated"


def firmness(profile: str, field: str) -> str:
    """Fidelity that the figure behind a prediction allows: an estimated figure makes an estimated prediction."""
    return "estimated" if figure_kind(profile, field) == "estimated" else "calibrated"
