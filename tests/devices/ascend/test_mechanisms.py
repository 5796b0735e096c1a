"""The mechanisms an Ascend core model must show, each against a published observation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.devices.ascend import cost, grouped_cost, matmul_cost
from simulator.devices.ascend.attention import attention_cost
from simulator.devices.ascend.sparse_attention import selected_attention_cost
from simulator.ops.work import Attention, GroupedMatmul, Matmul
from simulator.profiles import Kernel, load_device
from simulator.profiles.ascend import Ascend

CUBE = Kernel("cann", "gemm", {"cores": "cube"}, {})


def device(name: str) -> Ascend:
    found = load_device(name)
    assert isinstance(found, Ascend)
    return found


def test_large_products_are_fed_by_l2_on_910b_and_keep_the_cube_busy_on_950() -> None:
    term = Matmul(4096, 4096, 8192)
    old, new = (matmul_cost(term, device(n), CUBE) for n in ("ascend-910b2", "ascend-950pr"))
    assert old.busy["mte2"] > 1.2 * old.busy["cube"]
    assert new.busy["mte2"] < 1.1 * new.busy["cube"]


def test_misaligned_rows_cost_more_on_910b() -> None:
    on = device("ascend-910b2")
    aligned, odd = (float(matmul_cost(Matmul(2048, 2048, k), on, CUBE).seconds) for k in (2048, 2047))
    assert odd > 1.5 * aligned


def test_one_more_tile_than_cores_costs_a_round() -> None:
    on, fixed = device("ascend-950pr"), Kernel("cann", "gemm", {"tiles": "largest", "split_k": False}, {})
    full = float(matmul_cost(Matmul(256, 256 * on.core.aic, 4096), on, fixed).seconds)
    over = float(matmul_cost(Matmul(256, 256 * (on.core.aic + 1), 4096), on, fixed).seconds)
    balanced = replace(fixed, traits={**fixed.traits, "rounds": "rebalanced"})
    smooth = float(matmul_cost(Matmul(256, 256 * (on.core.aic + 1), 4096), on, balanced).seconds)
    assert over > 1.5 * full
    assert smooth < 0.8 * over


def test_empty_groups_read_no_weights() -> None:
    on = device("ascend-950pr")
    loads = np.array([[22.0, 22, 0, 21, 21, 0, 21, 21], [16.0] * 8])
    term = GroupedMatmul(128, 8, 8, 4096, 7168, "int8", "int8", rate="int8", loads=loads)
    moved = grouped_cost(term, on, Kernel("cann", "grouped_gemm", {}, {})).bytes["hbm"]
    assert moved[1] - moved[0] > 1.9 * 4096 * 7168


def test_eight_bit_weights_stream_slower_in_row_major_order() -> None:
    on = device("ascend-910b2")
    term = Matmul(1, 8192, 8192, "int8", "int8", rate="int8")
    native = Kernel("cann", "gemm", {"native_layout": True}, {})
    assert float(matmul_cost(term, on, CUBE).seconds) > 1.3 * float(matmul_cost(term, on, native).seconds)


def test_short_requests_cost_rounds_of_tasks_on_910b() -> None:
    """128 requests x 32 heads x 128 tokens take half a millisecond: 171 rounds of a hand-over each."""
    kernel = Kernel("cann", "attention", {"key_block": 512, "merge_tokens": 16}, {})
    took = attention_cost(Attention(128, 1, 128, 32, 32, 128, 128), device("ascend-910b2"), kernel)
    assert float(took.busy["launch"]) > 0.5 * float(took.seconds)


def test_sparse_attention_steps_with_rounds_of_cores_and_is_flat_in_context() -> None:
    on, kernel = device("ascend-910c"), Kernel("cann", "dsa", {}, {})

    def at(batch: int) -> float:
        term = Attention(batch, 1, 2048, 128, 1, 576, 512, kv_shared=True, selected=True)
        return float(selected_attention_cost(term, on, kernel, 0.0).seconds)

    assert at(1) == at(24)
    assert at(25) > 1.5 * at(24)


def test_a_die_follows_from_its_datasheet_alone() -> None:
    big = Matmul(4096, 4096, 8192)
    slower, faster = (float(np.asarray(cost(big, device(n)).seconds)) for n in ("ascend-910b4", "ascend-910b2"))
    assert 1.2 < slower / faster < 1.8  # 20 cores x 1.5 GHz against 24 x 1.8
