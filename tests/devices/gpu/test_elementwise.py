"""Vector passes and gathers on GPUs."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices.gpu.elementwise import Blocks, block_seconds, elementwise_cost, l2_share
from simulator.devices.gpu.gather import gather_cost
from simulator.ops.work import Elementwise, Gather
from simulator.profiles import list_names, load_device, load_kernels
from simulator.profiles.gpu import Gpu

GPUS = [n for n in list_names("device") if isinstance(load_device(n), Gpu)]
STACKS = ("trtllm", "vllm", "sglang", "vidur", "pytorch")


def kernel(gpu, runtime="vllm", name="rmsnorm"):
    return load_kernels(runtime, "elementwise", "nvidia").select(
        gpu.architecture, name=name, kernel="", dtype="bfloat16"
    )


def norm(rows, cols, name="rmsnorm"):
    size = 2.0 * np.asarray(rows, dtype=np.float64) * cols
    return Elementwise(name, rows, cols, size, size)


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("runtime", STACKS)
def test_every_gpu_and_stack_costs_a_vector_pass(name, runtime):
    gpu = load_device(name)
    rows = np.array([0.0, 1.0, 64.0, 4096.0, 1e6])
    cost = elementwise_cost(norm(rows, 7168), gpu, kernel(gpu, runtime))
    assert np.all(np.isfinite(cost.seconds))
    assert np.all(np.diff(cost.seconds) >= 0)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 10**6),
    cols=st.integers(1, 65536),
    name=st.sampled_from(["h100-sxm", "a100-sxm", "gb200", "l40s"]),
)
def test_never_below_the_roofline_and_more_bandwidth_never_slower(rows, cols, name):
    gpu, term = load_device(name), norm(rows, cols)
    one = elementwise_cost(term, gpu, kernel(gpu))
    hbm = one.bytes["hbm"] / gpu.memory.bandwidth
    assert one.seconds >= hbm
    faster = replace(gpu, memory=replace(gpu.memory, bandwidth=2 * gpu.memory.bandwidth))
    assert elementwise_cost(term, faster, kernel(gpu)).seconds <= one.seconds * (1 + 1e-9)


def test_large_passes_stream_from_hbm():
    gpu = load_device("h100-sxm")
    cost = elementwise_cost(norm(262144, 8192), gpu, kernel(gpu))
    moved = 2 * 2.0 * 262144 * 8192
    assert moved / cost.seconds == pytest.approx(gpu.efficiencies.vector_stream * gpu.memory.bandwidth, rel=0.05)


def test_one_long_row_is_bound_by_one_block():
    gpu = load_device("h100-sxm")
    long = elementwise_cost(norm(1, 65536), gpu, kernel(gpu)).seconds
    spread = elementwise_cost(norm(64, 1024), gpu, kernel(gpu)).seconds
    assert long > 2.5 * spread


def test_one_row_more_than_the_blocks_an_sm_holds_takes_another_wave():
    gpu = load_device("h100-sxm")
    fits = 2 * gpu.core.sms
    one, two = (float(elementwise_cost(norm(r, 8192), gpu, kernel(gpu, "vidur")).seconds) for r in (fits, fits + 1))
    assert two > 1.6 * one


def test_a_row_read_from_memory_waits_longer_for_each_step_than_one_in_l2():
    gpu = load_device("h100-sxm")
    near, far = (
        float(block_seconds(np.array(264.0), np.array(8192.0), np.array(size), gpu, kernel(gpu, "vidur")))
        for size in (1e6, 1e9)
    )
    steps = 8
    missing = steps * (gpu.memory.dram_latency - gpu.memory.l2_latency) / gpu.core.max_clock
    assert far - near == pytest.approx(missing, rel=0.01)


def test_short_rows_share_an_sm_where_blocks_shrink():
    short = Blocks(step=8192, resident=2, shrinks=True)
    assert float(short.on_an_sm(np.array(1024.0))) == 16
    assert float(short.on_an_sm(np.array(32.0))) == 32
    assert float(Blocks(step=8192, resident=2).on_an_sm(np.array(32.0))) == 2


def test_l2_share_falls_with_the_footprint():
    gpu = load_device("h100-sxm")
    share = l2_share(np.array([1e3, 1e6, 3e7, 1e9]), gpu)
    assert np.all(np.diff(share) <= 0)
    assert share[0] > 0.99
    assert share[-1] < 0.01


def test_a_stack_with_temporaries_is_slower():
    gpu, size = load_device("h100-sxm"), 32768.0 * 8192
    term = Elementwise("quantize_fp8_static", 32768, 8192, 2 * size, size)
    own, other = (
        elementwise_cost(term, gpu, kernel(gpu, s, "quantize_fp8_static")).seconds for s in ("vllm", "sglang")
    )
    assert other > 5 * own


def test_short_rows_waste_their_sector():
    gpu = load_device("h100-sxm")
    wide = gather_cost(Gather(1_000_000, 256.0), gpu, kernel(gpu)).seconds
    short = gather_cost(Gather(64_000_000, 4.0), gpu, kernel(gpu)).seconds
    assert short > 2 * wide
    assert gather_cost(Gather(0, 256.0), gpu, kernel(gpu)).seconds >= 0
