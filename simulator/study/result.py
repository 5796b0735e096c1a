"""Results of simulating a scenario: one record per phase (a step of prefill, a step of decode) and the row users compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simulator.economics.energy import Energy
from simulator.models.graph import Graph
from simulator.replay.program import Program
from simulator.replay.timeline import Timeline
from simulator.study.expert_use import ExpertUse
from simulator.study.node_cost import NodeCost


@dataclass(frozen=True, slots=True, eq=False)
class OperatorResult:
    """One operator of a step (all its repeats in the layers of one kind), on one rank.

    seconds: of one instance; count: instances in the step; total_seconds = seconds x count (overlap not subtracted).
    flops, hbm_bytes, wire_bytes, joules: of all instances together. bound: unit that binds. kernel: stack kernel that
    was assumed. band_pct: expected error of ``seconds`` (half-width that covers about two thirds of comparable rows).
    """

    name: str
    stage: str
    layer_kind: str
    stream: str
    family: str
    count: int
    seconds: float
    total_seconds: float
    bound: str
    flops: float
    hbm_bytes: float
    wire_bytes: float
    joules: float
    kernel: str
    fidelity: str
    band_pct: float
    busy: Mapping[str, float] = field(default_factory=dict)
    shape: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MemoryUse:
    """Bytes on one rank. parts: weights by part, kv_cache, activations. capacity: what an engine can use."""

    parts: Mapping[str, float]
    capacity: float

    @property
    def total(self) -> float:
        """Bytes needed."""
        return sum(self.parts.values())

    @property
    def fits(self) -> bool:
        """Whether everything is held."""
        return self.total <= self.capacity


@dataclass(frozen=True, slots=True)
class ChunkTimes:
    """Steps of a chunked prefill: how many, seconds of the first and of the last."""

    count: int
    first_seconds: float
    last_seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class PhaseResult:
    """One phase on the whole deployment: one step, or the steps of a chunked prefill (graph, program, timeline and costs: of
    the last; with pipeline stages, of one micro-batch).

    requests, decoding: requests that take part, and those of them that decode. tokens, output_tokens: tokens processed by
    the deployment (prompt tokens, and output tokens that are kept), and those of them that are output.
    seconds: step time, replayed. exposed: seconds by stage on the critical path. costs: by template of the graph.
    experts: how the step loads them, None without any. chunks: of a prefill with ``chunk``.
    """

    phase: str
    requests: int
    tokens: float
    context: float
    seconds: float
    operators: tuple[OperatorResult, ...]
    energy: Energy
    exposed: Mapping[str, float]
    bound: str
    fidelity: str
    band_pct: float
    memory: MemoryUse
    graph: Graph
    program: Program
    timeline: Timeline
    roofline_seconds: float
    costs: Mapping[int, NodeCost]
    experts: ExpertUse | None = None
    chunks: ChunkTimes | None = None
    decoding: int = 0
    output_tokens: float = 0.0

    @property
    def input_tokens(self) -> float:
        """Prompt tokens processed."""
        return self.tokens - self.output_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A simulated scenario on one deployment."""

    scenario: str
    device: str
    system: str
    model: str
    num_devices: int
    ranks: int
    runtime: str
    layout: Mapping[str, int]
    formats: Mapping[str, str]
    phases: Mapping[str, PhaseResult]
    usd_per_device_hour: float | None
    cost_basis: str
    power_limit_w: float
    notes: tuple[str, ...]
    smallest_num_devices: int | None
    estimated_figures: tuple[str, ...]
    figure_count: int
    tokens_per_character: float | None
    config: Mapping[str, Any]


def without_graphs(result: Result) -> Result:
    """``result`` with the graphs, programs and timelines of its phases empty: all its figures, small enough to be sent."""
    graph, program = Graph((), (), (), ()), Program((), (), (), (), (), (), ())
    timeline = Timeline(program, np.zeros(0, np.int64), np.zeros(0, np.int64))
    bare = {
        name: replace(phase, graph=graph, program=program, timeline=timeline, costs={})
        for name, phase in result.phases.items()
    }
    return replace(result, phases=bare)
