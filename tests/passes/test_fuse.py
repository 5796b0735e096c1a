"""Fusions keep operations, drop traffic and launches; merged projections keep products."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.models.formats import native
from simulator.models.graph import Graph
from simulator.passes.formats import formats
from simulator.passes.fuse import FUSIONS, MERGES, fuse
from tests.models.bundled import model
from tests.passes.tiny import described, names, node


def narrow(name: str, phase: str = "decode", layers: int = 0) -> Graph:
    return formats(described(name, phase, layers), native(model(name)))


def kernels(graph: Graph) -> list[str]:
    """Names of nodes that do something."""
    work = graph.work()
    return [n.name for n in graph.nodes if work[n.template].terms]


def total(graph: Graph, what: str) -> float:
    work = graph.work()
    return float(sum(np.max(getattr(work[n.template], what)()) for n in graph.nodes))


def test_norm_and_quantize_become_one_kernel() -> None:
    """The fused kernel writes the sum and both forms of the normed rows (the gate reads the 16-bit one)."""
    before = narrow("deepseek-v3", layers=1)
    after = fuse(before, ("rmsnorm_quantize",))
    assert len(kernels(before)) - len(kernels(after)) == 3
    joined = next(n for n in after.nodes if n.op.__class__.__name__ == "Fused" and n.stage == "gate")
    assert [type(s.op).__name__ for s in joined.op.steps] == ["AddRMSNorm", "Quantize"]
    assert len(joined.outputs) == 3
    saved = total(before, "bytes_read") - total(after, "bytes_read")
    rows = 8 * 2 * (64 + 64 + 24)  # normed rows of both norms and the query latent are no longer read back
    assert saved == rows
    assert total(after, "bytes_written") < total(before, "bytes_written")


def test_cache_write_of_latent_attention_becomes_one_kernel() -> None:
    after = fuse(narrow("deepseek-v3", layers=1), ("kv_rmsnorm_rope_cache",))
    joined = next(n for n in after.nodes if type(n.op).__name__ == "Fused")
    assert [type(s.op).__name__ for s in joined.op.steps] == ["RMSNorm", "Rope", "Concat", "CacheAppend"]
    work = joined.op.work(after.specs(joined.inputs), after.specs(joined.outputs))
    assert float(np.max(work.bytes_written())) == 8 * 20 * 2  # the new rows, once


def test_queries_and_keys_rotate_in_one_kernel() -> None:
    """Siblings: same layer and stage, no path between them."""
    before, after = described("llama-3.1-8b"), fuse(described("llama-3.1-8b"), ("rope",))
    assert len(kernels(before)) - len(kernels(after)) == 2
    joined = [n for n in after.nodes if type(n.op).__name__ == "Fused"]
    assert [len(n.outputs) for n in joined] == [2, 2]


@pytest.mark.parametrize("name", ["deepseek-v3", "deepseek-v3.2", "llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v4-flash"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_all_fusions_keep_products_and_vector_operations(name: str, phase: str) -> None:
    before = narrow(name, phase)
    after = fuse(before, ("merge_index", *FUSIONS))
    for what in ("flops", "vector_ops", "exponentials"):
        assert total(after, what) == pytest.approx(total(before, what), rel=1e-9), what
    assert total(after, "bytes_read") <= total(before, "bytes_read")
    assert total(after, "bytes_written") <= total(before, "bytes_written")
    assert len(kernels(after)) < len(kernels(before))


def test_before_and_after_of_merged_projections() -> None:
    """q_a, kv_a and the index key become one product over stacked weights with a free split."""
    before = narrow("deepseek-v3.2", layers=1)
    after = fuse(before, ("merge_index",))
    assert "q_a+kv_a+index_k" in names(after)
    assert not {"q_a", "kv_a", "index_k"} & set(names(after))
    merged = after.values[node(after, "q_a+kv_a+index_k").inputs[1]]
    assert merged.spec.shape == (24 + 20 + 16, 64)
    assert merged.blocks == (24, 20, 16)
    assert total(after, "flops") == total(before, "flops")
    assert after.weight_bytes() == pytest.approx(before.weight_bytes())


def test_products_of_other_formats_are_not_merged() -> None:
    """The head weights of the indexer stay in 16 bit and apart."""
    after = fuse(narrow("deepseek-v3.2", layers=1), ("merge_index",))
    assert "index_w" in names(after)


def test_an_unknown_fusion_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown fusion 'everything'; known: .*silu_mul_quantize"):
        fuse(described("llama-3.1-8b"), ("everything",))
    assert not set(MERGES) & set(FUSIONS)
