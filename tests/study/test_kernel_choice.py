"""Which kernel family serves the indexer of sparse attention, and whose error band it carries."""

from __future__ import annotations

import pytest

from simulator.ops.work import IndexScores, TopK
from simulator.profiles import load_device
from simulator.study.kernel_choice import choose


@pytest.mark.parametrize("term", [IndexScores(4, 1, 4096, 64, 128), TopK(4, 4096, 2048)])
@pytest.mark.parametrize(
    ("device", "runtime", "family"),
    [("h100-sxm", "sglang", "indexer"), ("rubin-r200", "vllm", "indexer"), ("ascend-910c", "cann", "dsa")],
)
def test_the_indexer_runs_its_stacks_kernels_and_carries_the_band_of_sparse_attention(
    term: IndexScores | TopK, device: str, runtime: str, family: str
) -> None:
    choice = choose(term, load_device(device), runtime, {})
    assert choice.kernel.family == family
    assert choice.family == "dsa"
