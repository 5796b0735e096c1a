"""Grouped products: ragged and empty experts, agreement with the dense model, hardware monotone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices.gpu import grouped_matmul_cost, matmul_cost
from simulator.ops.work import GroupedMatmul, Matmul
from simulator.profiles import load_device, load_kernels
from simulator.profiles.gpu import Gpu


def _gpu(name: str = "h800-sxm") -> Gpu:
    device = load_device(name)
    assert isinstance(device, Gpu)
    return device


GPU = _gpu()
KERNEL = load_kernels("deepgemm", "grouped_gemm", "nvidia").select(GPU.architecture, layout="masked")


def _seconds(loads: list[list[float]], n: int = 4096, k: int = 7168, gpu: Gpu = GPU) -> np.ndarray:
    table = np.array(loads, dtype=np.float64)
    term = GroupedMatmul(table.sum(axis=1), table.shape[1], (table > 0).sum(axis=1), n, k, loads=table)
    return np.asarray(grouped_matmul_cost(term, gpu, KERNEL).seconds)


def test_empty_experts_cost_nothing() -> None:
    few, padded = _seconds([[100.0, 20.0]]), _seconds([[100.0, 20.0, 0.0, 0.0, 0.0]])
    assert np.allclose(few, padded)


def test_all_empty_is_a_launch_without_nan() -> None:
    cost = grouped_matmul_cost(GroupedMatmul(0, 4, 0, 4096, 7168), GPU, KERNEL)
    assert float(np.asarray(cost.seconds)) == KERNEL.values["launch_floor"]
    assert all(np.isfinite(np.asarray(v)).all() for v in (*cost.busy.values(), *cost.bytes.values()))


def test_few_rows_per_expert_stream_the_weights_of_active_experts_only() -> None:
    spread = float(_seconds([[1.0] * 64])[0])
    stacked = float(_seconds([[64.0] + [0.0] * 63])[0])
    weights = 64 * 4096 * 7168
    assert spread >= weights / GPU.memory.bandwidth
    assert stacked < spread / 8


def test_one_group_agrees_with_a_dense_product() -> None:
    for rows in (64, 2048):
        dense = Matmul(rows, 4096, 7168, "fp8_block", "fp8_block_weight", rate="fp8")
        one = float(np.asarray(matmul_cost(dense, GPU, KERNEL).seconds))
        assert abs(float(_seconds([[float(rows)]])[0]) / one - 1) < 0.1


def test_skewed_loads_are_not_faster_than_even_ones() -> None:
    even, skewed = _seconds([[256.0] * 8, [1000.0, 500.0, 250.0, 130.0, 100.0, 50.0, 10.0, 8.0]])
    assert skewed >= even * 0.98


@settings(max_examples=50, deadline=None)
@given(
    loads=st.lists(st.integers(0, 3000), min_size=1, max_size=40),
    factor=st.floats(1.0, 3.0),
    n=st.integers(64, 8192),
    k=st.integers(64, 8192),
)
def test_better_hardware_and_less_work_are_never_slower(loads: list[int], factor: float, n: int, k: int) -> None:
    rows = [[float(x) for x in loads]]
    before = float(_seconds(rows, n, k)[0])
    bandwidth = replace(GPU, memory=replace(GPU.memory, bandwidth=GPU.memory.bandwidth * factor))
    clock = replace(GPU, core=replace(GPU.core, tensor_clock=GPU.core.tensor_clock * factor))
    cores = replace(GPU, core=replace(GPU.core, sms=int(GPU.core.sms * factor)))
    for gpu in (bandwidth, clock, cores):
        assert float(_seconds(rows, n, k, gpu)[0]) <= before * (1 + 1e-9)
    fewer = [[x - min(x, 7.0) for x in rows[0]]]
    # a partly filled last block loads less, so that one row more may cut a block in two: at most a choice step
    assert float(_seconds(fewer, n, k)[0]) <= before * 1.1
