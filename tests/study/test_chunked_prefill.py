"""Chunked prefill: the same work in more steps, and the same time when one chunk holds everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.study.chunks import chunk_steps, summed
from simulator.study.result import PhaseResult
from simulator.study.simulate import simulate
from simulator.study.sweep import sweep

SMALL = {"model": "llama-3.1-8b", "dp": "1", "ep": "1", "isl": "3000", "phases.prefill.batch": "1"}
SPARSE = {"tp": "8", "dp": "1", "isl": "20000", "phases.prefill.batch": "1"}


def prefill(options: dict[str, str], **more: str) -> PhaseResult:
    return simulate("deepseek-v3.2-chat", options | more).phases["prefill"]


def flops(phase: PhaseResult, *names: str) -> float:
    return sum(o.flops for o in phase.operators if not names or o.name in names)


@given(batch=st.integers(1, 12), new=st.integers(1, 3000), cached=st.integers(0, 5000), chunk=st.integers(1, 4000))
def test_steps_hold_every_token_and_pair_once(batch: int, new: int, cached: int, chunk: int) -> None:
    """Tokens and causal pairs of all steps are those of the prompts; no step has more than ``chunk`` tokens."""
    steps = chunk_steps(batch, cached + new, cached, chunk)
    b, q, kv = (np.asarray(v) for v in (steps.shape.batch, steps.shape.q_len, steps.shape.kv_len))
    assert (b * q).max() <= chunk
    assert summed(b * q, steps) == batch * new
    pairs = b * (q * kv - q * (q - 1) // 2)
    assert summed(pairs, steps) == batch * (new * (cached + new) - new * (new - 1) // 2)
    assert np.all(kv - q >= cached)
    assert kv.max() == cached + new


@pytest.mark.parametrize("options", [SMALL, SPARSE])
def test_one_chunk_is_the_plain_prefill(options: dict[str, str]) -> None:
    plain, chunked = prefill(options), prefill(options, chunk="30000")
    assert chunked.seconds == plain.seconds
    assert float(chunked.energy.total) == float(plain.energy.total)
    assert [o.total_seconds for o in chunked.operators] == [o.total_seconds for o in plain.operators]
    assert chunked.chunks is not None
    assert chunked.chunks.count == 1


@pytest.mark.parametrize("options", [SMALL, SPARSE])
def test_chunks_do_the_work_of_the_whole(options: dict[str, str]) -> None:
    """Attention FLOPs are equal; the time is that of the steps run one by one behind each other's tokens."""
    isl, chunk = int(options["isl"]), 1100 if options is SMALL else 6000
    plain, chunked = prefill(options), prefill(options, chunk=str(chunk))
    for name in ("attention", "index_scores", "o_proj"):
        assert flops(chunked, name) == pytest.approx(flops(plain, name), rel=1e-9)
    ends = [*range(chunk, isl, chunk), isl]
    alone = [prefill(options, isl=str(b), prefix_len=str(a)) for a, b in zip([0, *ends], ends, strict=False)]
    assert chunked.seconds == pytest.approx(sum(p.seconds for p in alone), rel=1e-9)
    assert flops(chunked) == pytest.approx(sum(map(flops, alone)), rel=1e-9)
    assert float(chunked.energy.total) == pytest.approx(sum(float(p.energy.total) for p in alone), rel=1e-9)
    assert sum(chunked.exposed.values()) == pytest.approx(chunked.seconds, rel=1e-9)
    assert chunked.chunks is not None
    assert chunked.chunks.count == len(alone)
    assert chunked.chunks.first_seconds == pytest.approx(alone[0].seconds, rel=1e-9)
    assert chunked.chunks.last_seconds == pytest.approx(alone[-1].seconds, rel=1e-9)


def test_a_linear_attention_model_and_pooled_entries_run_in_chunks() -> None:
    """States and pooled entries of the first chunk start empty, those of the others do not."""
    for model in ("qwen3-next-80b-a3b", "deepseek-v4-flash"):
        options = {"model": model, "isl": "8192", "phases.prefill.batch": "1"}
        first = prefill(options, isl="4096")
        second = prefill(options, prefix_len="4096")
        assert prefill(options, chunk="4096").seconds == pytest.approx(first.seconds + second.seconds, rel=1e-9)


def test_smaller_chunks_need_less_memory_and_more_time() -> None:
    options = SMALL | {"isl": "16384"}
    small, large = prefill(options, chunk="512"), prefill(options, chunk="8192")
    assert small.memory.parts["activations"] < large.memory.parts["activations"]
    assert small.memory.parts["kv_cache"] == large.memory.parts["kv_cache"]
    assert small.seconds > large.seconds


def test_a_sweep_gives_what_runs_give() -> None:
    grid = sweep("deepseek-v3.2-chat", {"isl": "1000,3000,5000", "chunk": "1024,4096"}, SMALL)
    for row in grid.rows:
        alone = prefill(SMALL, isl=row["isl"], chunk=row["chunk"])
        assert row["ttft_ms"] == pytest.approx(alone.seconds * 1e3, rel=1e-9)
        assert row["prefill_chunks"] == alone.chunks.count  # type: ignore[union-attr]
