"""Batches without arrivals: one static batch from prompt to last token, and one phase in isolation."""

from __future__ import annotations

import numpy as np

from simulator.serving.engine import Engine, Outcome
from simulator.serving.step_clock import StepClock

SAMPLES = 16  # contexts at which a growing decode is sampled


def static_batch(engine: Engine, batch: int, isl: int, osl: int) -> Outcome:
    """One batch of equal prompts: prompt phase of all, then ``osl`` - 1 decode steps."""
    clock = StepClock(engine)
    ttft = clock.prefill([(float(isl), 0.0)] * batch)
    steps = max(osl - 1, 0)
    contexts = isl + 1 + steps * (np.arange(SAMPLES) + 0.5) / SAMPLES
    tpot = (
        float(np.mean([clock.decode(batch, float(c)) for c in contexts])) / engine.accepted
        if engine.table.decode
        else 0.0
    )
    total = ttft + tpot * steps
    return Outcome(ttft, tpot, batch * osl / total, batch * isl / total)


def decode_phase(engine: Engine, batch: int, context: float) -> Outcome:
    """A fixed batch of the replica decoding at ``context`` tokens, prompts arriving from elsewhere for free."""
    seconds = StepClock(engine).decode(batch, context)
    return Outcome(0.0, seconds / engine.accepted, batch * engine.accepted / seconds, 0.0)


def prefill_phase(engine: Engine, prompts: int, isl: int) -> Outcome:
    """``prompts`` prompts of the replica in one step, and the token rate if such steps follow one another."""
    seconds = StepClock(engine).prefill([(float(isl), 0.0)] * prompts)
    return Outcome(seconds, 0.0, 0.0, prompts * isl / seconds)


def largest_batch(engine: Engine, context: float, limit: int, tpot: float = float("inf")) -> int:
    """Most sequences of the replica whose caches fit and whose time per token stays within ``tpot`` seconds."""
    most = int(min(limit, max(engine.cache_tokens / max(context, 1.0), 1.0) * engine.ranks))
    low, high = engine.ranks, max(most, engine.ranks)
    if decode_phase(engine, high, context).tpot <= tpot:
        return high
    while high - low > engine.ranks:
        middle = (low + high) // 2
        low, high = (middle, high) if decode_phase(engine, middle, context).tpot <= tpot else (low, middle)
    return low
