"""The engine steps behind one phase of a scenario: a single one, or those of a chunked prefill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.models.step import StepShape
from simulator.ops.tensor import Number
from simulator.profiles.scenario import Phase, Prefill
from simulator.study.chunks import ChunkSteps, chunk_steps, summed
from simulator.study.deployment import Deployment
from simulator.study.node_cost import Machine
from simulator.study.pipelining import flow
from simulator.study.result import ChunkTimes
from simulator.study.step import Step, forms_of, run_step

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PhaseSteps:
    """runs: costed steps, each with how often each of its scenarios is run. shown: the last step, whose timeline is drawn.

    shape: all of the phase's tokens and contexts. seconds: from start to end of the phase.
    """

    runs: tuple[tuple[Step, npt.NDArray[np.int64]], ...]
    shown: Step
    shape: StepShape
    seconds: float
    chunks: ChunkTimes | None = None


def steps_of(deployment: Deployment, phase: Phase, machine: Machine, whole: StepShape) -> PhaseSteps:
    """Every step of a phase; ``whole``: its shape as one step. ProfileError: the layout or the formats do not fit."""
    if not isinstance(phase, Prefill) or phase.chunk is None or phase.chunk >= phase.tokens:
        step = run_step(deployment, phase, whole, machine)
        once = np.ones((), dtype=np.int64)
        chunks = None
        if isinstance(phase, Prefill) and phase.chunk is not None:
            chunks = ChunkTimes(1, float(step.seconds), float(step.seconds))
        return PhaseSteps(((step, once),), step, whole, float(step.seconds), chunks)
    cut = chunk_steps(phase.batch, phase.isl, phase.prefix_len, phase.chunk)
    forms, best = chunk_forms(deployment, phase, machine, cut)
    seconds = chosen(best, [f.seconds for f in forms])
    times = ChunkTimes(int(cut.times.sum()), float(seconds[0]), float(seconds[-1]))
    runs = tuple((f, np.where(best == i, cut.times, 0)) for i, f in enumerate(forms))
    last = run_step(deployment, phase, cut.last, machine)
    return PhaseSteps(runs, last, whole, float(elapsed(forms, best, cut)[0]), times)


def chunk_forms(
    deployment: Deployment, phase: Prefill, machine: Machine, cut: ChunkSteps
) -> tuple[list[Step], npt.NDArray[np.intp]]:
    """(all chunk steps in each form of attention, the faster form of each chunk)."""
    forms = forms_of(deployment, phase, cut.shape, machine)
    seconds = np.stack([np.broadcast_to(np.asarray(f.seconds), cut.times.shape) for f in forms])
    return forms, np.argmin(seconds, axis=0)


def elapsed(forms: list[Step], best: npt.NDArray[np.intp], cut: ChunkSteps) -> Floats:
    """Seconds from the first to the last chunk of each point: one after the other, or in a row through pipeline stages."""
    if forms[0].stage_seconds is None:
        return summed(chosen(best, [f.seconds for f in forms]), cut)
    host = summed(chosen(best, [f.host_seconds for f in forms]), cut)
    stages = np.stack([_each_stage(f, cut) for f in forms])
    stages = np.take_along_axis(stages, best[None, None, :], axis=0)[0]
    points = range(int(cut.point[-1]) + 1)
    flows = [flow(stages[:, cut.point == p], cut.times[cut.point == p]) for p in points]
    return host + np.asarray(flows, dtype=np.float64)


def _each_stage(step: Step, cut: ChunkSteps) -> Floats:
    """Seconds of all micro-batches of a step in each stage [stages, steps]."""
    spent = np.asarray(step.stage_seconds, dtype=np.float64)
    spent = np.broadcast_to(spent.reshape(len(spent), -1), (len(spent), len(cut.times)))
    return np.asarray(spent * np.asarray(step.micro_batches, dtype=np.float64))


def chosen(best: npt.NDArray[np.intp], values: Sequence[Number]) -> Floats:
    """The value of each step in its faster form."""
    spread = [np.broadcast_to(np.asarray(v, dtype=np.float64), best.shape) for v in values]
    return np.asarray(np.choose(best, spread), dtype=np.float64)
