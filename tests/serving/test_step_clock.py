"""Step tables and the clock over them: exact on the grid, monotone beyond it, mixed steps no dearer than both apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.serving.batch import decode_phase, largest_batch, prefill_phase, static_batch
from simulator.serving.closed_loop import serve
from simulator.serving.disaggregated import Pools, serve_disaggregated
from simulator.serving.engine import Engine, Frontend
from simulator.serving.load import Lengths, Load
from simulator.serving.step_clock import StepClock
from simulator.serving.step_table import DecodeTable, PrefillTable, StepTable

BATCHES, CONTEXTS = np.array([1.0, 8.0, 64.0]), np.array([128.0, 4096.0])
TOKENS, PASTS = np.array([16.0, 512.0, 8192.0]), np.array([0.0, 8192.0])
CORE = BATCHES[:, None] * CONTEXTS / 1e8
DECODE = DecodeTable(BATCHES, CONTEXTS, 5e-3 + 1e-5 * BATCHES[:, None] + CORE, CORE)
PREFILL = PrefillTable(TOKENS, PASTS, 4e-3 + 2e-5 * TOKENS, TOKENS[:, None] * (TOKENS[:, None] / 2 + PASTS) / 1e10)
NO_FRONT = Frontend(0.0, 0.0, 0.0)


def engine(**changes):
    base = Engine(StepTable(DECODE, PREFILL), NO_FRONT, 0.0, 0.0, 2048, 256, 1e6)
    return replace(base, **changes)


def test_tables_are_exact_on_their_grid_and_linear_between():
    assert DECODE.at(8.0, 4096.0) == pytest.approx(DECODE.seconds[1, 1])
    middle = DECODE.at(8.0, (128.0 + 4096.0) / 2)
    assert middle == pytest.approx((DECODE.seconds[1, 0] + DECODE.seconds[1, 1]) / 2)
    assert PREFILL.attention_at(512.0, 0.0) == pytest.approx(PREFILL.attention[1, 0])


def test_beyond_the_grid_steps_keep_growing():
    clock = StepClock(engine())
    assert clock.decode(128, 8192.0) > clock.decode(64, 8192.0) > clock.decode(64, 4096.0)
    assert clock.prefill([(32768.0, 0.0)]) > 3.9 * clock.prefill([(8192.0, 0.0)])


def test_a_mixed_step_costs_less_than_its_halves_apart_and_more_than_either():
    clock = StepClock(engine())
    mixed = clock.mixed(32, 1000.0, [(512.0, 0.0)])
    assert clock.prefill([(512.0, 0.0)]) < mixed < clock.prefill([(512.0, 0.0)]) + clock.decode(32, 1000.0)


def test_ranks_share_requests_and_one_long_prompt_binds_its_rank():
    clock = StepClock(engine(ranks=4))
    alone = StepClock(engine())
    assert clock.decode(32, 1000.0) == pytest.approx(alone.decode(8, 1000.0))
    assert clock.prefill([(512.0, 0.0)] * 4) == pytest.approx(alone.prefill([(512.0, 0.0)]))
    assert clock.prefill([(512.0, 0.0)]) == pytest.approx(alone.prefill([(512.0, 0.0)]))


def test_host_launches_bound_prompt_steps_and_eager_decodes():
    slow = StepClock(engine(eager=0.1))
    assert slow.prefill([(16.0, 0.0)]) == pytest.approx(0.1)
    assert slow.decode(8, 1000.0) < 0.1
    assert StepClock(engine(eager=0.1, graphs=False)).decode(8, 1000.0) == pytest.approx(0.1)


def test_one_client_sees_its_own_prefill_and_decode():
    one = engine(schedule="prefill_first")
    outcome = serve(one, Load(Lengths(512, 100), 5, 1))
    clock = StepClock(one)
    assert outcome.ttft == pytest.approx(clock.prefill([(512.0, 0.0)]))
    assert outcome.tpot == pytest.approx(clock.decode(1, 512 + 51.0), rel=0.01)
    assert outcome.output_rate == pytest.approx(100 / (outcome.ttft + 99 * outcome.tpot), rel=1e-6)


@pytest.mark.parametrize("schedule", ["mixed", "prefill_first"])
def test_more_clients_never_wait_less(schedule):
    results = [serve(engine(schedule=schedule), Load(Lengths(512, 64, 0.2), 10 * c, c)) for c in (1, 8, 64)]
    assert results[0].tpot < results[1].tpot < results[2].tpot
    assert results[0].output_rate < results[1].output_rate < results[2].output_rate


def test_a_cache_too_small_for_all_makes_requests_queue():
    load = Load(Lengths(512, 64), 160, 16)
    roomy, tight = serve(engine(), load), serve(engine(cache_tokens=2000.0), load)
    assert tight.ttft > 3 * roomy.ttft
    assert tight.tpot < roomy.tpot


def test_arrivals_are_seen_only_when_the_scheduler_looks():
    load = Load(Lengths(128, 64, 0.2), 80, 8)
    quick = serve(engine(schedule="prefill_first"), load)
    late = serve(engine(schedule="prefill_first", poll_steps=30), load)
    assert late.ttft > quick.ttft + 5 * quick.tpot


def test_streaming_in_groups_delays_the_first_token_only():
    load = Load(Lengths(128, 64), 8, 1)
    single, grouped = serve(engine(), load), serve(engine(stream_steps=10), load)
    assert grouped.ttft == pytest.approx(single.ttft + 9 * single.tpot)
    assert grouped.tpot == pytest.approx(single.tpot)


def test_separate_pools_keep_decodes_free_of_prompts():
    load = Load(Lengths(2048, 64, 0.2), 160, 16)
    together = serve(engine(), load)
    apart = serve_disaggregated(Pools(engine(), engine(), prefill_workers=2), load)
    assert apart.tpot < together.tpot
    more = serve_disaggregated(Pools(engine(), engine(), prefill_workers=8), load)
    assert more.ttft < apart.ttft


def test_a_hand_over_delays_the_first_token_by_its_wait_and_its_transfer():
    load = Load(Lengths(2048, 64), 10, 1)
    near = serve_disaggregated(Pools(engine(), engine(), prefill_workers=1), load)
    far = serve_disaggregated(Pools(engine(), engine(), 1, transfer=1e-5, handoff=0.1), load)
    assert far.ttft - near.ttft == pytest.approx(0.1 + 2048e-5)
    assert far.tpot == pytest.approx(near.tpot)


def test_batches_without_arrivals():
    whole = static_batch(engine(), 8, 512, 65)
    assert whole.ttft == pytest.approx(StepClock(engine()).prefill([(512.0, 0.0)] * 8))
    assert whole.output_rate == pytest.approx(8 * 65 / (whole.ttft + 64 * whole.tpot))
    assert decode_phase(engine(accepted=2.0), 8, 1000.0).tpot == pytest.approx(
        decode_phase(engine(), 8, 1000.0).tpot / 2
    )
    assert prefill_phase(engine(), 4, 512).input_rate > prefill_phase(engine(), 1, 512).input_rate


def test_largest_batch_keeps_the_bounds():
    limit = decode_phase(engine(), 40, 1000.0).tpot
    assert 39 <= largest_batch(engine(), 1000.0, 64, limit) <= 40
    assert largest_batch(engine(cache_tokens=10_000.0), 1000.0, 64) == 10


def test_an_engine_without_a_table_says_so():
    with pytest.raises(ValueError, match="no decode table"):
        StepClock(engine(table=StepTable(None, PREFILL))).decode(1, 100.0)
    with pytest.raises(ValueError, match="no prefill table"):
        StepClock(engine(table=StepTable(DECODE, None))).prefill([(1.0, 0.0)])


def test_loads_repeat_and_keep_their_lengths():
    lengths = Lengths(1000, 200, 0.2)
    isl, osl = lengths.draw(500)
    assert isl.tolist() == lengths.draw(500)[0].tolist()
    assert isl.min() >= 800
    assert isl.max() <= 1000
    assert osl.mean() == pytest.approx(180, rel=0.02)
    assert Lengths(1000, 200).draw(3)[1].tolist() == [200, 200, 200]
    long_run = Load(lengths, 100_000, 10)
    assert long_run.simulated < 100_000
    assert long_run.weights().sum() == pytest.approx(100_000)
