"""The trace of a run: one process per phase, streams as threads, with memory, power and link counters."""

from __future__ import annotations

from typing import Any

from simulator.profiles.library import load_device
from simulator.report import trace
from simulator.report.counters import link_track, rate_track
from simulator.report.trace_args import node_args, pick
from simulator.study.result import PhaseResult, Result


def trace_bytes(result: Result) -> bytes:
    """Gzipped Chrome Trace Event JSON of all phases; the same result gives the same bytes."""
    return trace.trace_bytes(run_trace(result))


def run_trace(result: Result) -> dict[str, Any]:
    """The JSON document; each phase begins at time zero on processes of its own."""
    documents = [trace.trace_document(phase.timeline, _options(result, phase)) for phase in result.phases.values()]
    facts = {"scenario": result.scenario, "device": result.device, "system": result.system, "ranks": result.ranks}
    return trace.join_traces(documents, facts)


def _options(result: Result, phase: PhaseResult) -> trace.TraceOptions:
    program, graph = phase.program, phase.graph
    works = {t: c.work for t, c in phase.costs.items()}
    costs = {t: c.cost for t, c in phase.costs.items()}
    sources = {t: f"{c.kernel} ({c.fidelity})" for t, c in phase.costs.items()}
    traffic = {
        i: pick(phase.costs[graph.nodes[origin].template].cost.bytes.get("hbm", 0.0), 0)
        for i, origin in enumerate(program.origin)
        if origin >= 0
    }
    power = load_device(result.device).power
    joules = {
        i: power.memory_share * (power.tdp - power.idle) * moved / load_device(result.device).memory.bandwidth
        + power.active_share * (power.tdp - power.idle) * int(phase.timeline.elapsed_ps()[i]) / 1e12
        for i, moved in traffic.items()
    }
    counters = [
        rate_track(phase.timeline, traffic, "HBM traffic", "GB/s", 1e-9),
        rate_track(phase.timeline, joules, "power without arithmetic", "W", idle=power.idle),
        *(link_track(phase.timeline, link) for link in range(len(program.link_names))),
    ]
    return trace.TraceOptions(
        device=f"{phase.phase} · {result.device}",
        args=node_args(graph, program, works, costs, sources),
        counters=counters,
    )
