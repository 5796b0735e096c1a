"""Devices without kernel rows against their sisters and against published figures.

Ratios follow from datasheets where one unit binds; figures are those of micro-benchmarks that their owners published.
"""

from __future__ import annotations

import numpy as np
import pytest

from simulator.devices.kernel_cost import kernel_cost
from simulator.ops.work import Attention, Elementwise, Matmul, Term
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import load_kernels
from simulator.profiles.library import load_device
from simulator.study.kernel_choice import choose

TFLOP = 1e12


def gpu(name: str) -> Gpu:
    found = load_device(name)
    assert isinstance(found, Gpu)
    return found


def seconds(term: Term, device: str, runtime: str = "trtllm") -> float:
    on = gpu(device)
    return float(np.asarray(kernel_cost(term, on, choose(term, on, runtime, {}).kernel).seconds))


def square(size: int) -> Matmul:
    return Matmul(size, size, size)


def narrow(size: int, dtype: str, rate: str) -> Matmul:
    return Matmul(size, size, size, dtype, dtype, rate=rate)


def prefill(tokens: int, dtype: str = "bfloat16", heads: int = 32, batch: int = 4, causal: bool = True) -> Attention:
    rate = "fp8" if dtype == "fp8" else "bf16"
    return Attention(
        batch, tokens, tokens, heads, heads, 128, 128, causal=causal, q_dtype=dtype, kv_dtype=dtype, rate=rate
    )


def decode(batch: int, keys: int, heads: int = 32, kv_heads: int = 8) -> Attention:
    return Attention(batch, 1, keys, heads, kv_heads, 128, 128)


# -- published figures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "size", "published"),
    [
        ("h20", 4096, 133.4),
        ("h20", 8192, 138.6),
        ("h20", 10240, 142.3),
        ("rtx-pro-6000", 4096, 399.9),
        ("rtx-pro-6000", 8192, 417.3),
        ("rtx-pro-6000", 10240, 387.0),
        ("l40s", 8192, 269.2),
        ("h100-sxm", 8192, 797.5),
        ("b300-sxm", 8192, 1769.0),
    ],
)
def test_square_products_reach_published_rates(device: str, size: int, published: float) -> None:
    """TFLOPS of torch.matmul in bf16; the L40S and B300 figures are the best of several sizes."""
    assert 2.0 * size**3 / seconds(square(size), device) / TFLOP == pytest.approx(published, rel=0.13)


@pytest.mark.parametrize(("rows", "published"), [(8, 50.4), (32, 193.9), (128, 692.9), (256, 1211.4)])
def test_b300_streams_weights_at_the_published_rate(rows: int, published: float) -> None:
    """bf16 at 8192 x 28672: few rows are memory-bound."""
    term = Matmul(rows, 8192, 28672)
    assert term.flops() / seconds(term, "b300-sxm", "vllm") / TFLOP == pytest.approx(published, rel=0.13)


@pytest.mark.parametrize(("rows", "published"), [(8, 124.0), (32, 519.3), (128, 2076.0), (256, 3868.9)])
def test_b300_reaches_the_published_fp4_rate(rows: int, published: float) -> None:
    """NVFP4 at 8192 x 28672, activations quantised before."""
    term = Matmul(rows, 8192, 28672, "nvfp4", "nvfp4", rate="fp4")
    assert term.flops() / seconds(term, "b300-sxm", "vllm") / TFLOP == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize(("causal", "published"), [(False, 126.2), (True, 107.8)])
def test_h20_runs_flash_attention_near_its_small_peak(causal: bool, published: float) -> None:
    """FlashAttention-3 at batch 2, 2048 tokens, 16 heads: 85% of the peak where an H100 keeps 60%."""
    term = prefill(2048, heads=16, batch=2, causal=causal)
    pairs = 2048.0**2 * (0.5 if causal else 1.0)
    rate = 2 * 16 * pairs * 4 * 128 / seconds(term, "h20", "sglang") / TFLOP
    assert rate == pytest.approx(published, rel=0.15)


@pytest.mark.parametrize("keys", [2000, 4000])
def test_h20_decodes_with_64_row_tiles_at_the_rate_of_its_tensor_cores(keys: int) -> None:
    """FlashAttention-3 pads one query row to 64: 1.8 of 4.0 TB/s on 32 heads of their own."""
    term = decode(16, keys, kv_heads=32)
    bytes_read = 2 * 16 * 32 * keys * 128 * 2
    assert bytes_read / seconds(term, "h20", "sglang") == pytest.approx(1.82e12, rel=0.15)


def test_h20_decodes_faster_with_16_row_tiles() -> None:
    """FlashInfer took 35 us where FlashAttention-3 took 98 (sglang pull request 6151)."""
    term, on = decode(32, 3500, 8, 1), gpu("h20")
    flashinfer = load_kernels("sglang", "attention").select(on.architecture, phase="decode", kernel="flashinfer")
    fa3 = choose(term, on, "sglang", {}).kernel
    taken = [float(np.asarray(kernel_cost(term, on, kernel).seconds)) for kernel in (flashinfer, fa3)]
    assert taken[0] < 0.85 * taken[1]


# -- ratios that datasheets demand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [("h100-sxm", "h200-sxm"), ("b200-sxm", "b300-sxm"), ("a100-sxm", "l40s"), ("l40s", "rtx-pro-6000")],
)
def test_long_decodes_follow_memory_bandwidth(one: str, other: str) -> None:
    term = decode(64, 16384)
    ratio = gpu(other).memory.bandwidth / gpu(one).memory.bandwidth
    assert seconds(term, one) / seconds(term, other) == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize(
    ("one", "other"), [("h100-sxm", "h20"), ("a100-sxm", "l40s"), ("b200-sxm", "gb300"), ("l40s", "rtx-pro-6000")]
)
def test_large_vector_passes_follow_memory_bandwidth(one: str, other: str) -> None:
    rows, cols = 65536.0, 16384.0
    term = Elementwise("add", rows, cols, 4 * rows * cols, 2 * rows * cols, 1.0)
    ratio = gpu(other).memory.bandwidth / gpu(one).memory.bandwidth
    assert seconds(term, one) / seconds(term, other) == pytest.approx(ratio, rel=0.15)


def test_large_fp4_products_gain_on_blackwell_ultra() -> None:
    term = narrow(16384, "nvfp4", "fp4")
    assert 1.3 < seconds(term, "b200-sxm") / seconds(term, "b300-sxm") <= 1.5


def test_other_products_do_not_gain_on_blackwell_ultra() -> None:
    for term in (square(8192), narrow(8192, "fp8", "fp8")):
        assert seconds(term, "b200-sxm") / seconds(term, "b300-sxm") == pytest.approx(1.0, abs=0.05)
    assert seconds(narrow(8192, "int8", "int8"), "b300-sxm") > 10 * seconds(narrow(8192, "int8", "int8"), "b200-sxm")


@pytest.mark.parametrize(("dtype", "low", "high"), [("bfloat16", 1.04, 1.2), ("fp8", 1.1, 1.4)])
def test_prefill_gains_from_faster_exponentials(dtype: str, low: float, high: float) -> None:
    """FlashAttention-4: 1.14 (bf16) and 1.27 (fp8) at equal clock; the maker states 1.35 for fp8."""
    term = prefill(16384, dtype)
    assert low < seconds(term, "b200-sxm") / seconds(term, "b300-sxm") < high


def test_a_cut_part_keeps_a_larger_share_of_its_peak() -> None:
    """H20 and H100 differ 6.7 times in peak, 5.7 times in what large products reach."""
    ratio = seconds(square(8192), "h20") / seconds(square(8192), "h100-sxm")
    assert 5.3 < ratio < 6.2


def test_parts_without_fp4_units_run_fp4_at_the_fp8_rate() -> None:
    term = narrow(8192, "nvfp4", "fp4")
    assert seconds(term, "l40s") > 1.5 * seconds(term, "rtx-pro-6000")
    assert term.flops() / seconds(term, "l40s") < 733e12
