"""TPU core model: roofline, monotonicity, padding to the systolic array, blocks, core-devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices.tpu import cost, matmul_cost, one_core
from simulator.ops.work import (
    Attention,
    Collective,
    Elementwise,
    Gather,
    GroupedMatmul,
    IndexScores,
    Matmul,
    Term,
    TopK,
    Work,
)
from simulator.profiles import Kernel, load_device
from simulator.profiles.tpu import Tpu

NAMES = ("tpu-v3", "tpu-v4", "tpu-v5e", "tpu-v5p", "tpu-v6e", "tpu-v7x", "tpu-8t", "tpu-8i")
SIZE = st.integers(1, 5000)
XLA = Kernel("jax", "gemm", {}, {})


def device(name: str) -> Tpu:
    found = load_device(name)
    assert isinstance(found, Tpu)
    return found


def terms(m: int, n: int, k: int) -> list[Term]:
    heads = 1 + n % 128
    return [
        Matmul(m, n, k),
        Matmul(m, n, k, "fp8", "fp8", rate="fp8"),
        GroupedMatmul(m, 8, min(8, m), n, k, "bfloat16", "bfloat16", rate="bf16"),
        Attention(1 + m % 64, 1, k, heads, 1, 128, 128),
        Attention(1, m, m + k, heads, heads, 128, 128),
        Attention(1 + m % 64, 1, k, heads, 1, 576, 512, kv_shared=True, selected=True),
        IndexScores(1 + m % 64, 1 + n % 8, k + 8, 64, 128),  # the new tokens are among the keys
        Elementwise("rmsnorm", m, n, 2.0 * m * n, 2.0 * m * n, 4.0),
        Gather(m, 2.0 * n),
    ]


def seconds(term: Term, on: Tpu) -> float:
    return float(np.asarray(cost(term, on).seconds))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), SIZE, SIZE, SIZE)
def test_no_term_beats_the_roofline(name: str, m: int, n: int, k: int) -> None:
    on = device(name)
    for term in terms(m, n, k):
        work = Work((term,))
        flops = work.flops() / max(on.core.peak.values())
        moved = (work.bytes_read() + work.bytes_written()) / on.memory.bandwidth
        assert seconds(term, on) >= max(flops, moved) * 0.999999


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), SIZE, SIZE, SIZE)
def test_a_better_chip_is_never_slower(name: str, m: int, n: int, k: int) -> None:
    on = device(name)
    faster = {rate: 1.5 * flops for rate, flops in on.core.peak.items()}
    better = [
        replace(on, memory=replace(on.memory, bandwidth=1.5 * on.memory.bandwidth)),
        replace(on, core=replace(on.core, peak=faster)),
        replace(on, core=replace(on.core, clock=1.5 * on.core.clock)),
    ]
    for term in [*terms(m, n, k), TopK(m, k, 64)]:
        base = seconds(term, on)
        assert all(seconds(term, other) <= base * 1.000001 for other in better)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dims", [(0, 64, 64), (64, 0, 64), (64, 64, 0), (1, 1, 1), (0, 0, 0)])
def test_empty_and_tiny_dimensions_have_a_finite_cost(name: str, dims: tuple[int, int, int]) -> None:
    m, n, k = dims
    empty = [
        Matmul(m, n, k),
        GroupedMatmul(m, 4, min(m, 4), n, k),
        Attention(m, 1, k, 8, 1, 128, 128),
        Attention(1, m, m, 8, 8, 128, 128),
        Attention(m, 1, k, 8, 1, 576, 512, kv_shared=True, selected=True),
        IndexScores(m, 1, k, 64, 128),
        TopK(m, k, 8),
        Elementwise("unknown", m, n, 2.0 * m * n, 2.0 * m * n),
        Gather(m, 2.0 * n),
    ]
    for term in empty:
        result = cost(term, device(name))
        assert np.isfinite(np.asarray(result.seconds)).all()
        assert all(np.isfinite(np.asarray(b)).all() for b in result.busy.values())


def test_rows_below_the_array_side_cost_a_full_side() -> None:
    """A pass streams at least as many rows as the array is wide, to shift in the next weights."""
    on = device("tpu-v6e")
    busy = [float(np.asarray(matmul_cost(Matmul(m, 14336, 4096), on, XLA).busy["mxu"])) for m in (8, 256, 512)]
    assert busy[0] == busy[1]
    assert busy[2] == pytest.approx(2 * busy[1])


def test_small_blocks_are_an_order_of_magnitude_slower() -> None:
    on = device("tpu-v5e")
    step = {"grid_step": 0.28e-6}
    small = Kernel("jax", "gemm", {"block_m": 128, "block_k": 128, "block_n": 128}, step)
    large = Kernel("jax", "gemm", {"block_m": 512, "block_k": 1024, "block_n": 1024}, step)
    slow, fast = (float(np.asarray(matmul_cost(Matmul(4096, 4096, 4096), on, k).seconds)) for k in (small, large))
    assert slow > 10 * fast


def test_a_core_device_is_half_of_a_v7x_chip() -> None:
    chip = device("tpu-v7x")
    core = one_core(chip)
    assert core.unit == "core"
    assert core.memory.bandwidth == chip.memory.bandwidth / 2
    assert core.core.peak["bf16"] == chip.core.peak["bf16"] / 2
    assert one_core(core) == core
    assert one_core(device("tpu-v6e")) == device("tpu-v6e")


def test_int8_runs_at_a_rate_the_chip_has() -> None:
    """v7x has no integer rate: an int8 product is no faster than fp8 and no slower than bf16."""
    on = device("tpu-v7x")
    took = {r: seconds(Matmul(8192, 8192, 8192, rate=r), on) for r in ("int8", "fp8", "bf16")}
    assert took["fp8"] <= took["int8"] <= took["bf16"]


def test_a_term_of_the_fabric_is_refused() -> None:
    with pytest.raises(TypeError, match="fabric"):
        cost(Collective("all_reduce", 1e6, 8), device("tpu-v6e"))
