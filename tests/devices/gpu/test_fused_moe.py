"""Fused expert layers: experts spread over ranks, eager hosts, exchange inside the kernel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.devices.gpu import FusedMoe, even_loads, fused_moe_cost
from simulator.profiles import Kernel, load_device, load_kernels
from simulator.profiles.gpu import Gpu


def _gpu(name: str) -> Gpu:
    device = load_device(name)
    assert isinstance(device, Gpu)
    return device


def _moe(tokens: float, ranks: float = 1.0, experts: float = 256.0) -> FusedMoe:
    t = np.array([tokens])
    rows = t * 8 / ranks
    active = np.minimum(rows, experts / ranks)
    ones = np.ones(1)
    return FusedMoe(
        tokens=t,
        held=even_loads(rows, active),
        spread=np.minimum(t, rows) * 8,
        hidden=7168.0 * ones,
        inter=2048.0 * ones,
        topk=8.0 * ones,
        experts=experts * ones,
        ranks=ranks * ones,
        a_dtype="fp8_block",
        b_dtype="fp8_block_weight",
        rate="fp8",
    )


def _kernel(runtime: str, architecture: str, **facts: str) -> Kernel:
    return load_kernels(runtime, "moe", "nvidia").select(architecture, **facts)


GPU = _gpu("h200-sxm")
KERNEL = _kernel("trtllm", "hopper", op="moe_fused", dtype="fp8_block", kernel="moe_torch_flow_cutlass", mode="graph")


def _seconds(moe: FusedMoe, kernel: Kernel = KERNEL, host: float = 1.0) -> float:
    return float(fused_moe_cost(moe, GPU, kernel, host).seconds[0])


def test_more_tokens_are_never_faster_and_bounded_by_the_weights() -> None:
    times = [_seconds(_moe(t)) for t in (1, 8, 64, 512, 4096, 32768)]
    assert times == sorted(times)
    assert times[2] >= 256 * 0.8 * 3 * 7168 * 2048 / GPU.memory.bandwidth


def test_a_rank_of_many_is_faster_than_one_that_holds_all_experts() -> None:
    assert _seconds(_moe(512, ranks=32)) < _seconds(_moe(512)) / 4


def test_computing_every_slot_of_touched_tokens_costs_more_than_local_rows() -> None:
    touched = replace(KERNEL, traits={**KERNEL.traits, "rows": "touched"})
    assert _seconds(_moe(16384, ranks=16), touched) > 3 * _seconds(_moe(16384, ranks=16))


def test_an_eager_kernel_waits_for_a_slow_host_only_while_it_is_slower() -> None:
    eager = replace(KERNEL, values={**KERNEL.values, "host_floor": 4e-4})
    assert _seconds(_moe(1, ranks=64), eager, host=2.0) > 7.9e-4
    large = _moe(65536)
    assert _seconds(large, eager, host=2.0) < _seconds(large) * 1.01


def test_tokens_of_nobody_cost_a_launch_without_nan() -> None:
    cost = fused_moe_cost(_moe(0), GPU, KERNEL)
    assert np.isfinite(cost.seconds).all()
    assert cost.seconds[0] >= KERNEL.values["launch_floor"]


def test_the_exchange_inside_a_mega_kernel_is_bound_by_the_link() -> None:
    gpu = _gpu("gb200")
    kernel = _kernel("sglang", "blackwell", op="moe_megakernel", dtype="w4a8_mxfp4_mxfp8", mode="graph")
    slow = replace(gpu, link=replace(gpu.link, bandwidth=gpu.link.bandwidth / 20))
    moe = _moe(65536, ranks=16)
    assert fused_moe_cost(moe, slow, kernel).seconds[0] > 2 * fused_moe_cost(moe, gpu, kernel).seconds[0]


def test_passes_around_the_products_never_beat_memory() -> None:
    moe, many = _moe(32768), replace(KERNEL, values={**KERNEL.values, "row_passes": 1.0})
    none = replace(KERNEL, values={**KERNEL.values, "row_passes": 0.0})
    for name in ("l40s", "rtx-pro-6000", "h20", "h200-sxm", "b300-sxm"):
        gpu = _gpu(name)
        extra = fused_moe_cost(moe, gpu, many).seconds[0] - fused_moe_cost(moe, gpu, none).seconds[0]
        moved = 32768 * 8 * (6 * 2048 + 4 * 7168)
        assert extra >= 0.5 * moved / gpu.memory.bandwidth
