"""Pipeline stages: a step's requests go through them as micro-batches, so that stages work at the same time.

A prefill step fills and drains the pipeline once. Decode never drains: a micro-batch starts its next token when it comes out
of the last stage, so the step is the larger of one passage and the work of all micro-batches on the slowest stage.
Source: GPipe (arXiv 1811.06965) section 2.3 for fill and drain; vLLM keeps as many batches in flight as it has stages.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from simulator.models.graph import Graph
from simulator.models.step import StepShape, plain
from simulator.ops.tensor import Number
from simulator.replay.batched import replay
from simulator.replay.program import PS_PER_SECOND, Program, Times

Floats = npt.NDArray[np.float64]


def micro_batches(stages: int, shape: StepShape) -> Number:
    """Micro-batches of a step: one a stage, at least one request each. ValueError: a mixed step is not dealt out."""
    if stages > 1 and shape.groups:
        raise ValueError(f"pp={stages} deals a step to micro-batches; a mixed step is one batch")
    return np.minimum(float(stages), np.asarray(shape.batch, dtype=np.float64)) if stages > 1 else 1.0


def part_of(shape: StepShape, count: Number) -> StepShape:
    """The step of one of ``count`` micro-batches."""
    if not np.any(np.asarray(count) != 1):
        return shape
    return replace(shape, batch=plain(np.asarray(shape.batch / np.asarray(count, dtype=np.float64))))


def stage_seconds(graph: Graph, program: Program, durations_ps: Times, stages: int) -> Floats:
    """Seconds a micro-batch spends in each stage, what it waits for from the stage before included: [stages, scenarios]."""
    timeline = replay(program, durations_ps)
    home = np.array([graph.nodes[i].pipeline if i >= 0 else 0 for i in program.origin])
    ends = [timeline.finish_ps[home <= s].max(axis=0, initial=0) for s in range(stages)]
    spent = np.diff(np.array([np.zeros_like(ends[0]), *ends]), axis=0)
    return np.asarray(spent / PS_PER_SECOND, dtype=np.float64)


def step_time(phase: str, stages: Floats, count: Number) -> Floats:
    """Seconds of a step of ``count`` equal micro-batches; stages: of one of them, [stages, scenarios]."""
    passage, slowest = stages.sum(axis=0), stages.max(axis=0)
    if phase == "decode":
        return np.asarray(np.maximum(passage, count * slowest))
    return np.asarray(passage + (np.asarray(count) - 1) * slowest)


def flow(stages: Floats, times: npt.NDArray[np.int64]) -> float:
    """Seconds until the last of a row of different batches leaves: batch i comes ``times[i]`` times, stages[:, i] each."""
    ready = np.zeros(len(stages))
    for spent in np.repeat(stages, times, axis=1).T:
        before = 0.0
        for s, seconds in enumerate(spent):
            before = ready[s] = max(ready[s], before) + seconds
    return float(ready[-1])
