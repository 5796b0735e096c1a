"""Unrolling gives every layer its own nodes, weights and caches and keeps what they compute."""

from __future__ import annotations

from simulator.passes.unroll import unroll
from tests.passes.tiny import described, names


def test_before_and_after() -> None:
    """Two bodies (first layer, other layers) become three layers."""
    from dataclasses import replace

    from simulator.models.build import describe
    from simulator.models.step import StepShape
    from tests.passes.tiny import tiny

    small = tiny("llama-3.1-8b")
    deep = replace(small, layers=(replace(small.layers[0], repeat=3),))
    folded = describe(deep, StepShape("decode", 8, 1, 64))
    assert [b.layers for b in folded.bodies] == [(0,), (1, 2)]
    graph = unroll(folded)
    assert graph.bodies == ()
    layers = [n.layer for n in graph.nodes]
    assert layers == sorted(layers[:-4]) + [-1] * 4 or layers[0] == -1
    second = [n.template for n in graph.nodes if n.layer == 1]
    assert second == [n.template for n in graph.nodes if n.layer == 2]
    weights = [v.name for v in graph.values if v.role == "weight"]
    assert len(weights) == len(set(weights))
    assert sum(w.startswith("layers.2.") for w in weights) == sum(w.startswith("layers.1.") for w in weights)


def test_layers_are_chained() -> None:
    """Every layer reads what the one before wrote."""
    graph = unroll(described("deepseek-v3"))
    home = {o: n.layer for n in graph.nodes for o in n.outputs}
    for n in graph.nodes:
        if n.layer > 0:
            assert all(home.get(i, n.layer) in (n.layer, n.layer - 1) for i in n.inputs)


def test_selections_reach_the_layers_that_share_them() -> None:
    """GLM-5.2: three of four layers reuse the indices of the last layer with an indexer."""
    graph = unroll(described("glm-5.2"))
    home = {o: n for n in graph.nodes for o in n.outputs}
    scorers = {n.layer for n in graph.nodes if n.name == "index_topk"}
    for n in (n for n in graph.nodes if n.name == "attention"):
        assert home[n.inputs[2]].layer == max(x for x in scorers if x <= n.layer)


def test_an_unrolled_graph_is_returned_as_it_is() -> None:
    graph = unroll(described("llama-3.1-8b"))
    assert unroll(graph) is graph
    assert "embed" in names(graph)
