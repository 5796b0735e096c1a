"""Grouped products whose rows spread over the groups: between even groups and explicitly given ones."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.devices.kernel_cost import kernel_cost
from simulator.ops.work import GroupedMatmul
from simulator.profiles.library import load_device, load_runtime
from simulator.study.kernel_choice import choose

STACKS = (("h100-sxm", "trtllm"), ("h100-sxm", "sglang"), ("tpu-v7x", "jax"), ("ascend-910c", "cann"))


def seconds(term: GroupedMatmul, device: str, stack: str) -> np.ndarray:
    found = load_device(device)
    kernel = choose(term, found, load_runtime(stack).name, {}).kernel
    return np.asarray(kernel_cost(term, found, kernel).seconds)


def test_relative_rows_have_the_mean_and_the_spread_asked_for() -> None:
    relative = GroupedMatmul(1, 1, 1, 1, 1, spread=np.array([0.0, 0.2, 1.0])).relative_rows()
    assert relative.mean(axis=1) == pytest.approx(1)
    assert relative.std(axis=1) == pytest.approx([0, 0.2, 1.0], rel=0.25)  # 16 quantiles cut the tails
    assert GroupedMatmul(1, 1, 1, 1, 1).relative_rows().tolist() == [1]


@pytest.mark.parametrize(("device", "stack"), STACKS)
@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
def test_a_spread_costs_what_the_same_rows_cost_when_given(device: str, stack: str, spread: float) -> None:
    for each in (300.0, 1024.0, 5000.0):
        uneven = GroupedMatmul(16 * each, 16, 16, 4096, 7168, spread=spread)
        rows = each * uneven.relative_rows()
        given = GroupedMatmul(16 * each, 16, 16, 4096, 7168, loads=rows)
        assert seconds(uneven, device, stack) == pytest.approx(seconds(given, device, stack), rel=1e-6)


@pytest.mark.parametrize(("device", "stack"), STACKS)
def test_no_spread_is_even_and_arrays_are_their_entries(device: str, stack: str) -> None:
    spreads, rows = np.array([0.0, 0.0, 0.7]), np.array([64.0, 8192.0, 8192.0])
    together = seconds(GroupedMatmul(rows, 32, 32, 4096, 7168, spread=spreads), device, stack)
    alone = [
        float(seconds(GroupedMatmul(r, 32, 32, 4096, 7168, spread=s), device, stack))
        for r, s in zip(rows, spreads, strict=True)
    ]
    even = [float(seconds(GroupedMatmul(r, 32, 32, 4096, 7168), device, stack)) for r in rows]
    assert together.tolist() == pytest.approx(alone, rel=1e-12)
    assert alone[:2] == pytest.approx(even[:2], rel=1e-12)
    assert alone[2] >= even[2]
