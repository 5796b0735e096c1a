"""What is known of a generation nobody measured: its datasheet and launch floors; the rest comes from a neighbour."""

from __future__ import annotations

from simulator.profiles import figures_of, load_device
from simulator.validation.calibrate_result import Slot, Unknown

FLOORS = frozenset(
    "launch_floor cast_launch graph_node module_floor host_floor host_indexer host_quantise host_long long_floor start "
    "kernel_start cube_start mixed_start vector_start attention_start task_start sparse_start quantize_start route_start split_start "
    "split_combine host_dispatch latency "
    "row_start extra_start stage_start epilogue_start".split()
)
"""Fixed times of a launch: a micro-benchmark gives them on the day a device arrives."""

CACHE_RATES = frozenset({"l2_read"})
"""Read rate of the last-level cache: micro-benchmarked too (35 to 37 B/clk and SM on A100 and H100, 47 to 60 on B300)."""

FEED_RATES = frozenset({"operand_feed", "epilogue", "block_stream"})
"""Bytes per clock that feed the tensor cores: they follow the tensor rate from one generation to the next."""

PENALTIES = {"misaligned": 0.0, "eight_bit_stream": 1.0}
"""What a layout costs, and the value at which it costs nothing; a new generation is taken without them."""


def new_generation(device: str, neighbour: str) -> Unknown:
    """Figures of ``device``'s generation, with efficiencies of ``neighbour``'s.

    Floors, cache rates and figures that no fit made keep their value, feed rates scale with the tensor rate, penalties
    are neutral.
    """
    own, other = load_device(device), load_device(neighbour)
    figures = figures_of(device)
    ratio = _tensor_rate(device) / _tensor_rate(neighbour)

    def unknown(slot: Slot) -> float | None:
        if slot.name in FLOORS | CACHE_RATES:
            return slot.present
        if slot.architecture != own.architecture:
            return None
        figure = figures.get(f"efficiencies.{slot.name}")
        if figure is None or figure.kind != "calibrated":
            return slot.present
        if slot.name in PENALTIES:
            return PENALTIES[slot.name]
        value = float(getattr(other.efficiencies, slot.name))
        return value * ratio if slot.name in FEED_RATES else value

    return unknown


def _tensor_rate(name: str) -> float:
    """16-bit operations per clock of one core; 1 for vendors whose profiles carry no feed rates."""
    device = load_device(name)
    rates = getattr(device.core, "tensor_flop_per_clk", {})
    return float(rates.get("bf16", 1.0))
