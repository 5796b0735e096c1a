"""Memory of a rank: sums of its parts, sharded the way the layout says, and the smallest fit."""

from __future__ import annotations

import pytest

from simulator.models.build import build
from simulator.models.layout import Layout
from simulator.models.memory import memory
from simulator.models.step import StepShape
from tests.models.bundled import NAMES, model

GB = 1e9


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_those_of_the_unrolled_graph(name: str) -> None:
    graph = build(model(name), StepShape("decode", 1, 1, 2))
    assert memory(model(name)).weight_bytes == pytest.approx(float(graph.weight_bytes()), rel=1e-12)


def test_deepseek_weights_and_caches_per_rank() -> None:
    """671e9 parameters in 8 bit with 16-bit ends; latents are not split by tensor parallelism."""
    one, eight = memory(model("deepseek-v3")), memory(model("deepseek-v3"), Layout(tp=8))
    assert one.weight_bytes == pytest.approx(674.2 * GB, rel=1e-3)
    assert one.weight_bytes / 8 < eight.weight_bytes < 1.03 * one.weight_bytes / 8
    assert one.cache_per_token == eight.cache_per_token == 70272


def test_grouped_caches_split_until_one_head_is_left() -> None:
    """Qwen3-235B has 4 KV heads: 8 ranks hold each head twice."""
    per_token = [memory(model("qwen3-235b-a22b"), Layout(tp=t)).cache_per_token for t in (1, 4, 8)]
    assert per_token == [192512, 192512 / 4, 192512 / 4]


def test_pipeline_stages_hold_their_own_layers() -> None:
    whole, half = (memory(model("llama-3.1-70b"), Layout(pp=n)) for n in (1, 2))
    assert half.cache_per_token == whole.cache_per_token / 2
    assert whole.weight_bytes / 2 < half.weight_bytes < 0.52 * whole.weight_bytes


def test_windows_and_states_are_counted_per_request() -> None:
    """gpt-oss-20b: 12 window layers of 128 tokens; qwen3-next: 36 recurrent fp32 states and convolution tails."""
    window = 12 * 128 * 2 * 8 * 64 * 2
    assert memory(model("gpt-oss-20b")).cache_per_request == window
    state = 36 * (32 * 128 * 128 * 4 + 3 * (2 * 16 * 128 + 32 * 128) * 2)
    assert memory(model("qwen3-next-80b-a3b")).cache_per_request == state


def test_activations_grow_with_the_step_and_never_hold_the_cache() -> None:
    m = model("llama-3.1-8b")
    small, large = (memory(m, step=StepShape("prefill", 1, n, n)).activations for n in (1024, 4096))
    assert large == pytest.approx(4 * small, rel=1e-6)
    assert 2 * 4096 * 4096 * 2 < large < 20 * 4096 * 14336 * 2


def test_fits_is_monotone_in_capacity_and_load() -> None:
    held = memory(model("llama-3.1-8b"))
    full = held.total(16, 8192)
    assert held.fits(full, 16, 8192)
    assert not held.fits(full - 1, 16, 8192)
    assert held.cache_tokens(full) == pytest.approx(16 * 8192)
