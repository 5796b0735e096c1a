"""Requests are neither lost nor doubled, and what they held comes back; for any load and either scheduling rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.serving.closed_loop import ClosedLoop
from simulator.serving.engine import Engine, Frontend
from simulator.serving.load import Lengths, Load
from simulator.serving.step_clock import StepClock
from simulator.serving.step_table import DecodeTable, PrefillTable, StepTable

BATCHES = CONTEXTS = PASTS = np.array([1.0, 4096.0])
TOKENS = np.array([1.0, 8192.0])
TABLE = StepTable(
    DecodeTable(BATCHES, CONTEXTS, np.array([[1e-3, 2e-3], [4e-3, 9e-3]]), np.array([[1e-4, 5e-4], [1e-3, 5e-3]])),
    PrefillTable(TOKENS, PASTS, np.array([1e-3, 0.2]), np.array([[1e-5, 1e-4], [5e-3, 5e-2]])),
)


@settings(max_examples=40, deadline=None)
@given(
    schedule=st.sampled_from(["mixed", "prefill_first"]),
    concurrency=st.integers(1, 64),
    requests=st.integers(1, 200),
    isl=st.integers(1, 3000),
    osl=st.integers(1, 200),
    spread=st.floats(0.0, 0.9),
    rate=st.sampled_from([0.0, 5.0]),
    max_sequences=st.integers(1, 64),
    cache=st.integers(100, 100_000),
    poll=st.integers(1, 10),
)
def test_every_request_ends_once_and_gives_its_cache_back(
    schedule, concurrency, requests, isl, osl, spread, rate, max_sequences, cache, poll
):
    frontend = Frontend(0.01, 1e-3, 1e-6)
    engine = Engine(
        table=TABLE,
        frontend=frontend,
        host_step=1e-4,
        host_sequence=1e-6,
        token_budget=2048,
        max_sequences=max_sequences,
        cache_tokens=float(cache),
        schedule=schedule,
        poll_steps=poll,
    )
    load = Load(Lengths(isl, osl, spread), requests, concurrency, rate)
    loop = ClosedLoop(engine, load, StepClock(engine))
    loop.run()
    sent, first, done = (np.array(x) for x in (loop.sent, loop.first, loop.done))
    assert loop.issued == loop.finished == loop.count
    assert (sent < first).all()
    assert (first <= done).all()
    assert not loop.queue
    assert not loop.partial
    assert not loop.running
    assert loop.cached == pytest.approx(0.0, abs=1e-6)
