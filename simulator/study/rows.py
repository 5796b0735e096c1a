"""The row users compare: latency, throughput, energy, money, fit and reason, each with its unit in the name."""

from __future__ import annotations

from typing import Any

from simulator.economics.money import usd_per_mtok
from simulator.study import metrics
from simulator.study.result import PhaseResult, Result

Row = dict[str, Any]


def row_of(result: Result) -> Row:
    """The flat row of a result; a figure that does not exist (no such phase, no price) is None, never zero."""
    prefill, decode, mixed = (result.phases.get(name) for name in ("prefill", "decode", "mixed"))
    row: Row = {
        "scenario": result.scenario,
        "device": result.device,
        "system": result.system,
        "model": result.model,
        "num_devices": result.num_devices,
        "parallel": " ".join(f"{k}{v}" for k, v in result.layout.items() if v > 1) or "one rank",
        "fits": all(p.memory.fits for p in result.phases.values()),
        "smallest_num_devices": result.smallest_num_devices,
        "ttft_ms": prefill.seconds * 1e3 if prefill else None,
        "tpot_ms": _tpot(decode or mixed),
    }
    row |= _rates(result, prefill, decode)
    row |= {
        "cost_basis": result.cost_basis,
        "usd_per_device_hour": result.usd_per_device_hour,
        "power_w_per_dev": _power(decode or prefill or mixed),
        "bound": " / ".join(p.bound for p in result.phases.values()),
        "fidelity": max((p.fidelity for p in result.phases.values()), key=("calibrated", "derived", "estimated").index),
        "error_band_pct": max(p.band_pct for p in result.phases.values()),
        "runtime": result.runtime,
        "estimated_figures": len(result.estimated_figures),
        "estimated_share_pct": 100.0 * len(result.estimated_figures) / max(result.figure_count, 1),
    }
    return row | metrics.further(result, row)


def _rates(result: Result, prefill: PhaseResult | None, decode: PhaseResult | None) -> Row:
    n, price = result.num_devices, result.usd_per_device_hour
    into = prefill.tokens / prefill.seconds / n if prefill else None
    out = decode.tokens / decode.seconds / n if decode else None
    mixed = result.phases.get("mixed")
    return {
        "output_tok_s_per_dev": mixed.output_tokens / mixed.seconds / n if mixed and not decode else out,
        "input_tok_s_per_dev": mixed.input_tokens / mixed.seconds / n if mixed and not prefill else into,
        "j_per_output_tok": _joules(decode, n),
        "j_per_input_tok": _joules(prefill, n),
        "usd_per_mtok_input": _number(usd_per_mtok(price, into)) if into is not None else None,
        "usd_per_mtok_output": _number(usd_per_mtok(price, out)) if out is not None else None,
    }


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _joules(phase: PhaseResult | None, devices: int) -> float | None:
    return None if phase is None else float(phase.energy.total) * devices / phase.tokens


def _power(phase: PhaseResult | None) -> float | None:
    return None if phase is None else float(phase.energy.total) / phase.seconds


def _tpot(phase: PhaseResult | None) -> float | None:
    if phase is None:
        return None
    return phase.seconds * phase.decoding / phase.output_tokens * 1e3
