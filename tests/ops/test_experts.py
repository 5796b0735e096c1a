"""N6, N7, N9: dispatch, grouped product, combine over ranks equal one rank; moved bytes equal the volumes declared."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from simulator.ops.expert_exchange import ExpertCombine, ExpertDispatch
from simulator.ops.grouped_linear import GroupedLinear, active_experts
from simulator.ops.moe_gate import MoeGate
from simulator.ops.op import Array
from simulator.ops.routing import copies, expected_destinations, messages
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import ExpertExchange

E, K, H, T = 8, 3, 5, 16
LAYOUTS = [
    (1, "low_latency", 0),
    (2, "low_latency", 0),
    (8, "low_latency", 0),
    (4, "normal", 0),
    (8, "normal", 2),
    (4, "replicated", 0),
    (4, "all_gather", 0),
]
PLACEMENTS = [(), (3, 1, 4, 0, 5, 7, 2, 6), (0, 1, 2, 3, 4, 5, 6, 7, 5, 5, 0, 2, 1, 3, 4, 6)]


def tokens(seed: int = 0) -> tuple[Array, Array, Array, Array]:
    g = np.random.default_rng(seed)
    x, w = g.normal(size=(T, H)), g.normal(size=(E, H, H))
    indices, weights = MoeGate(K, score="softmax").reference(g.normal(size=(T, E)))
    return x, indices, weights, w


def dense(x: Array, indices: Array, weights: Array, w: Array) -> Array:
    out = np.zeros_like(x)
    for t in range(T):
        for e, scale in zip(indices[t], weights[t], strict=True):
            out[t] += scale * (w[e] @ x[t])
    return out


def through_ranks(
    ranks: int, mode: str, per_node: int, placement: tuple[int, ...]
) -> tuple[Array, list[int], list[int], list[tuple[Array, ...]]]:
    """(results in token order, bytes sent in dispatch, in combine, received arrays) of ``ranks`` ranks."""
    x, indices, weights, w = tokens()
    fields = {"ranks": ranks, "experts": E, "topk": K, "mode": mode, "ranks_per_node": per_node, "placement": placement}
    dispatch, combine = ExpertDispatch(**fields), ExpertCombine(**fields)
    shared = mode == "replicated"
    cut = [slice(None)] * ranks if shared else [slice(r * T // ranks, (r + 1) * T // ranks) for r in range(ranks)]
    received, sent = dispatch.exchange([(x[c], indices[c], weights[c]) for c in cut])
    slots = np.asarray(placement or range(E)).reshape(ranks, -1)
    back = []
    for r, (rows, counts, source, scales) in enumerate(received):
        (y,) = GroupedLinear().reference(rows, counts, w[slots[r]])
        back.append((y, source, scales, weights[cut[r]]))
    out, returned = combine.exchange(back)
    return (out[-1][0] if shared else np.concatenate([o[0] for o in out])), sent, returned, received


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(("ranks", "mode", "per_node"), LAYOUTS)
def test_n6_n9_ranks_placement_and_replicas_do_not_change_the_result(
    ranks: int, mode: str, per_node: int, placement: tuple[int, ...]
) -> None:
    out, _, _, received = through_ranks(ranks, mode, per_node, placement)
    np.testing.assert_allclose(out, dense(*tokens()), rtol=1e-12, atol=1e-13)
    assert sum(len(r[0]) for r in received) == T * K
    assert all(r[1].sum() == len(r[0]) for r in received)


def test_n9_replicas_share_the_load_of_a_hot_expert() -> None:
    indices = np.full((T, 1), 5)
    x, weights = np.ones((T, H)), np.ones((T, 1))
    counts = ExpertDispatch(experts=E, topk=1, placement=PLACEMENTS[2]).reference(x, indices, weights)[1]
    np.testing.assert_array_equal(counts[[5, 8, 9]], [6, 5, 5])
    assert counts.sum() == T


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_n7_low_latency_bytes_are_the_remote_messages(ranks: int) -> None:
    _, sent, returned, _ = through_ranks(ranks, "low_latency", 0, ())
    _, indices, _, _ = tokens()
    rows = [indices[r * T // ranks : (r + 1) * T // ranks] for r in range(ranks)]
    remote = [messages(i, E, ranks).sum() - messages(i, E, ranks)[r] for r, i in enumerate(rows)]
    assert sent == [n * H * 2 for n in remote]
    assert sum(returned) == sum(sent)


def test_n7_normal_mode_sends_one_copy_per_node_then_one_per_rank() -> None:
    ranks, size = 8, 2
    _, sent, returned, _ = through_ranks(ranks, "normal", size, ())
    _, indices, _, _ = tokens()
    expected = np.zeros(ranks)
    for src in range(ranks):
        mine = indices[src * T // ranks : (src + 1) * T // ranks]
        to_node, to_rank = copies(mine, E, ranks // size), copies(mine, E, ranks)
        expected[src] += to_node.sum() - to_node[src // size]
        for dst in range(ranks):
            relay = dst // size * size + src % size
            expected[relay] += to_rank[dst] if dst != relay else 0
    np.testing.assert_array_equal(sent, expected * H * 2)
    assert sum(returned) == sum(sent)
    assert sum(through_ranks(4, "normal", 0, ())[1]) < sum(through_ranks(4, "low_latency", 0, ())[1])


@pytest.mark.parametrize(("nodes", "at_nodes", "at_ranks"), [(2, 1.92, 5.34), (4, 2.93, 6.58), (8, 3.63, 7.35)])
def test_expected_destinations_of_deepseek_v3(nodes: int, at_nodes: float, at_ranks: float) -> None:
    """Monte Carlo figures of operators.md c: group-limited, 8 GPUs a node."""
    assert expected_destinations(256, 8, nodes, 8, 4) == pytest.approx(at_nodes, abs=0.01)
    assert expected_destinations(256, 8, 8 * nodes, 8, 4) == pytest.approx(at_ranks, abs=0.02)


@pytest.mark.parametrize(("destinations", "expected"), [(4, 3.61), (8, 5.29), (32, 7.27), (64, 7.67)])
def test_expected_destinations_without_groups(destinations: int, expected: float) -> None:
    assert expected_destinations(256, 8, destinations) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("destinations", [2, 3, 6, 12])
def test_expected_destinations_is_the_mean_over_all_routings(destinations: int) -> None:
    allowed = [
        pick
        for groups in combinations(range(3), 2)
        for pick in combinations([e for g in groups for e in range(4 * g, 4 * g + 4)], 3)
    ]
    if destinations % 3:  # a destination would cut a group
        return
    mean = np.mean([len({e // (12 // destinations) for e in pick}) for pick in allowed])
    assert expected_destinations(12, 3, destinations, 3, 2) == pytest.approx(mean)


def test_deepseek_v3_copy_bytes_and_low_latency_volume() -> None:
    specs = (TensorSpec((128, 7168), "fp8_block"), TensorSpec((128, 8), "int32"), TensorSpec((128, 8), "fp32"))
    op = ExpertDispatch(ranks=8, experts=256, topk=8, dtype="fp8_block")
    (term,) = op.work(specs, op.infer(*specs)).terms
    assert isinstance(term, ExpertExchange)
    assert term.copy_bytes == 7392
    assert term.logical_bytes() == 128 * 8 * 7392


def test_rows_follow_imbalance_and_loads() -> None:
    specs = (TensorSpec((128, 64)), TensorSpec((128, 8), "int32"), TensorSpec((128, 8), "fp32"))

    def rows(**fields: object) -> object:
        return ExpertDispatch(experts=16, topk=8, **fields).infer(*specs)[0].shape[0]

    assert rows(ranks=4) == 1024
    assert rows(ranks=4, imbalance=1.25) == 1280
    assert rows(ranks=4, loads=(1.0, 2.0, 1.0, 0.0)) == 2048
    assert rows(ranks=4, mode="replicated") == 256


def test_wire_format_must_be_the_input_format() -> None:
    specs = (TensorSpec((4, 64), "fp8_block"), TensorSpec((4, 2), "int32"), TensorSpec((4, 2), "fp32"))
    with pytest.raises(ValueError, match="wire format"):
        ExpertDispatch(experts=4, topk=2).infer(*specs)


@pytest.mark.parametrize("fields", [{"mode": "fast"}, {"experts": 6, "ranks": 4}])
def test_impossible_exchange_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="ExpertDispatch"):
        ExpertDispatch(**fields)


@pytest.mark.parametrize("group_tokens", [1, 4, 64])
def test_active_experts_is_the_expected_number_of_experts_hit(group_tokens: int) -> None:
    g = np.random.default_rng(0)
    picks = g.random((1000, group_tokens, 16)).argpartition(2, axis=-1)[..., :2].reshape(1000, -1)
    hit = [len(np.unique(p[p < 4])) for p in picks]
    rows = group_tokens * 2 * 4 / 16
    expected = active_experts(rows, 4, 16, 2)
    assert expected == pytest.approx(min(float(np.mean(hit)), rows), abs=0.1)
    assert active_experts(np.array([rows, 1e9]), 4, 16, 2)[1] == 4
    assert active_experts(0.0, 4, 16, 2) == 0
