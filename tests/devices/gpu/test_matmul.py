"""Dense products on GPUs: roofline, monotone in work and hardware, degenerate shapes, what binds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices.gpu import matmul_cost
from simulator.ops.work import Matmul
from simulator.profiles import Kernel, list_names, load_device, load_kernels
from simulator.profiles.gpu import Gpu

GPUS = tuple(name for name in list_names("device") if isinstance(load_device(name), Gpu))
FORMATS = {"bfloat16": ("bfloat16", "bfloat16", "bf16"), "fp8_block": ("fp8_block", "fp8_block_weight", "fp8")}
sizes = st.integers(1, 20000)


def _gpu(name: str) -> Gpu:
    device = load_device(name)
    assert isinstance(device, Gpu)
    return device


def _kernel(gpu: Gpu, dtype: str = "bfloat16", runtime: str = "trtllm") -> Kernel:
    return load_kernels(runtime, "gemm", "nvidia").select(gpu.architecture, dtype=dtype, mode="graph")


def _seconds(gpu: Gpu, m: int, n: int, k: int, dtype: str = "bfloat16", kernel: Kernel | None = None) -> float:
    a, b, rate = FORMATS[dtype]
    term = Matmul(m, n, k, a_dtype=a, b_dtype=b, rate=rate)
    return float(np.asarray(matmul_cost(term, gpu, kernel or _kernel(gpu, dtype)).seconds))


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_never_faster_than_the_datasheet_roofline(name: str, dtype: str) -> None:
    gpu = _gpu(name)
    a, b, rate = FORMATS[dtype]
    m, n, k = (x.ravel() for x in np.meshgrid([1, 64, 8192], [128, 4096, 65536], [64, 7168, 65536]))
    term = Matmul(m, n, k, a_dtype=a, b_dtype=b, rate=rate)
    seconds = np.asarray(matmul_cost(term, gpu, _kernel(gpu, dtype)).seconds)
    table = gpu.core.tensor_flop_per_clk
    peak = gpu.core.sms * gpu.core.max_clock * table.get(rate, table["bf16"])
    weights = np.asarray(n, dtype=float) * k * (2.0 if dtype == "bfloat16" else 1.0)
    assert (seconds >= np.asarray(term.flops()) / peak).all()
    assert (seconds >= weights / gpu.memory.bandwidth).all()


@pytest.mark.parametrize("name", ["a100-sxm", "h100-sxm", "b200-sxm"])
def test_replayed_small_weights_stay_in_l2_and_large_ones_do_not(name: str) -> None:
    gpu = _gpu(name)
    kernel = _kernel(gpu)
    small, large = Matmul(1, 4096, 1024), Matmul(1, 65536, 16384)
    for term, ratio in ((small, 0.97), (large, 1.0)):
        cold = float(np.asarray(matmul_cost(term, gpu, kernel).seconds))
        warm = float(np.asarray(matmul_cost(term, gpu, kernel, weight_copies=1.0).seconds))
        floor = gpu.efficiencies.graph_node
        assert (warm - floor) / (cold - floor) <= ratio + 1e-9
        assert warm > floor


@settings(max_examples=60, deadline=None)
@given(m=sizes, n=sizes, k=sizes, factor=st.floats(1.0, 3.0), name=st.sampled_from(["a100-sxm", "h200-sxm", "gb200"]))
def test_better_hardware_is_never_slower(m: int, n: int, k: int, factor: float, name: str) -> None:
    gpu = _gpu(name)
    before = _seconds(gpu, m, n, k)
    flops = {rate: value * factor for rate, value in gpu.core.tensor_flop_per_clk.items()}
    better = (
        replace(gpu, memory=replace(gpu.memory, bandwidth=gpu.memory.bandwidth * factor)),
        replace(gpu, core=replace(gpu.core, sms=int(gpu.core.sms * factor))),
        replace(gpu, core=replace(gpu.core, tensor_flop_per_clk=flops)),
        replace(gpu, core=replace(gpu.core, tensor_clock=gpu.core.tensor_clock * factor)),
        replace(gpu, memory=replace(gpu.memory, l2_capacity=gpu.memory.l2_capacity * factor)),
    )
    kernel = _kernel(gpu)
    for other in better:
        assert _seconds(other, m, n, k, kernel=kernel) <= before * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(m=sizes, n=sizes, k=sizes, more=st.integers(1, 4096), axis=st.integers(0, 2))
def test_more_work_is_never_faster(m: int, n: int, k: int, more: int, axis: int) -> None:
    gpu = _gpu("h100-sxm")
    larger = [m, n, k]
    larger[axis] += more
    assert _seconds(gpu, *larger) >= _seconds(gpu, m, n, k) * (1 - 1e-9)


@pytest.mark.parametrize("shape", [(0, 128, 128), (128, 0, 128), (128, 128, 0), (1, 1, 1), (0, 0, 0)])
def test_empty_and_unit_shapes_cost_a_launch_and_no_nan(shape: tuple[int, int, int]) -> None:
    gpu = _gpu("b200-sxm")
    kernel = _kernel(gpu)
    cost = matmul_cost(Matmul(*shape), gpu, kernel)
    values = [cost.seconds, *cost.busy.values(), *cost.bytes.values()]
    assert all(np.isfinite(np.asarray(v)).all() for v in values)
    assert float(np.asarray(cost.seconds)) >= gpu.efficiencies.graph_node


def test_an_array_of_rows_equals_the_rows_one_by_one() -> None:
    gpu = _gpu("h800-sxm")
    kernel = _kernel(gpu, "fp8_block", "deepgemm")
    m, n, k = np.array([1, 77, 4096]), np.array([7168, 2048, 4096]), np.array([2048, 7168, 512])
    a, b, rate = FORMATS["fp8_block"]
    together = np.asarray(matmul_cost(Matmul(m, n, k, a_dtype=a, b_dtype=b, rate=rate), gpu, kernel).seconds)
    alone = [_seconds(gpu, int(x), int(y), int(z), "fp8_block", kernel) for x, y, z in zip(m, n, k, strict=True)]
    assert np.allclose(together, alone, rtol=1e-12)


def test_decode_is_bound_by_memory_and_prefill_by_the_tensor_cores() -> None:
    gpu = _gpu("h100-sxm")
    bound = matmul_cost(Matmul(np.array([1, 8192]), 16384, 7168), gpu, _kernel(gpu)).bound()
    assert bound.tolist() == ["hbm", "tensor"]


def test_quantising_activations_adds_time_that_grows_with_them() -> None:
    gpu = _gpu("h100-sxm")
    kernel = _kernel(gpu, "fp8_block")
    a, b, rate = FORMATS["fp8_block"]
    rows = np.array([16, 4096])
    plain = matmul_cost(Matmul(rows, 4096, 7168, a, b, rate=rate), gpu, kernel)
    timed = matmul_cost(Matmul(rows, 4096, 7168, a, b, rate=rate, quantizes_a=True), gpu, kernel)
    extra = np.asarray(timed.seconds) - np.asarray(plain.seconds)
    assert extra[0] > 0
    assert extra[1] > extra[0]


def test_a_kernel_that_does_not_split_k_walks_a_long_k_alone() -> None:
    gpu = _gpu("h100-sxm")
    splits = _kernel(gpu)
    whole = replace(splits, traits={**splits.traits, "split_k": False})
    assert _seconds(gpu, 4, 256, 65536, kernel=whole) > 2 * _seconds(gpu, 4, 256, 65536, kernel=splits)


def test_ten_thousand_rows_take_seconds() -> None:
    import time

    gpu = _gpu("gb200")
    rng = np.random.default_rng(3)
    m, n, k = rng.integers(1, 16384, size=(3, 10_000))
    start = time.perf_counter()
    seconds = np.asarray(matmul_cost(Matmul(m, n, k), gpu, _kernel(gpu)).seconds)
    assert np.isfinite(seconds).all()
    assert time.perf_counter() - start < 20.0


def test_a_quantising_pass_adds_its_start_and_what_it_moves() -> None:
    gpu = _gpu("h200-sxm")
    kernel = _kernel(gpu, "fp8", "sglang")
    m, k = 8192, 8192
    plain = Matmul(m, 128, k, a_dtype="fp8", b_dtype="fp8", rate="fp8")
    added = float(np.asarray(matmul_cost(replace(plain, quantizes_a=True), gpu, kernel).seconds)) - float(
        np.asarray(matmul_cost(plain, gpu, kernel).seconds)
    )
    moved = m * k * float(kernel.traits["quantize_bytes"])
    through_sms = moved / (gpu.efficiencies.vector_l2 * gpu.core.sms * gpu.core.max_clock)
    assert added >= kernel.values["quantize_start"] + through_sms - 1e-12
    assert added <= kernel.values["quantize_start"] + max(through_sms, moved / (0.5 * gpu.memory.bandwidth))


def test_a_kernel_of_two_graph_nodes_starts_twice() -> None:
    gpu = _gpu("b200-sxm")
    kernel = _kernel(gpu)
    twice = replace(kernel, traits={**kernel.traits, "graph_nodes": 2})
    shape = Matmul(64, 4096, 4096)
    more = float(np.asarray(matmul_cost(shape, gpu, twice).seconds - matmul_cost(shape, gpu, kernel).seconds))
    assert more == pytest.approx(gpu.efficiencies.graph_node)
