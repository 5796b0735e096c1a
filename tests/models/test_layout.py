"""Layouts that fit are resolved; the others are refused with the sizes that do not fit."""

from __future__ import annotations

import pytest

from simulator.models.layout import Layout, resolve
from tests.models.bundled import model


def test_expert_sizes_are_derived() -> None:
    assert resolve(Layout(tp=8), model("deepseek-v3")).moe_tp == 8
    assert resolve(Layout(tp=8, ep=8), model("deepseek-v3")).moe_tp == 1
    assert resolve(Layout(tp=4, dp=8, ep=32), model("deepseek-v3")).sequence_parallel
    assert Layout(tp=4, dp=8, pp=2).devices == 64


@pytest.mark.parametrize(
    ("name", "layout", "message"),
    [
        ("llama-3.1-70b", Layout(tp=3), "tp=3 must divide its 64 attention heads"),
        ("llama-3.1-70b", Layout(tp=2, ep=2), "no experts"),
        ("llama-3.1-70b", Layout(pp=81), "pp=81 exceeds its 80 layers"),
        ("llama-3.1-70b", Layout(tp=0), "tp=0 must be at least 1"),
        ("deepseek-v3", Layout(dp=4, ep=3), "ep=3 must divide the 4 ranks"),
        ("deepseek-v3", Layout(dp=512, ep=512), "exceeds its 256 expert slots"),
        ("deepseek-v3", Layout(dp=144, ep=144), "nearest redundant_experts=32"),
        ("deepseek-v3", Layout(tp=8, redundant_experts=8), "redundant_experts=8 need expert parallelism; ep=1"),
        ("deepseek-v3", Layout(tp=8, ep=2, moe_tp=2), "ep x moe_tp = 2 x 2 must equal dp x cp x tp = 1 x 1 x 8"),
        ("deepseek-v3", Layout(dp=3), "moe_tp=3 must divide the expert width 2048"),
    ],
)
def test_sizes_that_do_not_fit_are_named(name: str, layout: Layout, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(layout, model(name))


def test_the_published_decode_layout_fits_with_its_redundant_experts() -> None:
    """144 ranks hold 256 experts and 32 replicas, two each."""
    assert resolve(Layout(dp=144, ep=144, redundant_experts=32), model("deepseek-v3")).ep == 144
