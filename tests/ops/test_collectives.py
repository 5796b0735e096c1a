"""N8: tensor-parallel splits with collectives equal the unsharded product; every collective delivers what it should."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.collectives import AllGather, AllReduce, AllToAll, ReduceScatter, SendRecv
from simulator.ops.embedding import Embedding, VocabParallelEmbedding
from simulator.ops.linear import Linear
from simulator.ops.local_share import LocalShare
from simulator.ops.norm import RMSNorm
from simulator.ops.op import Array
from simulator.ops.parallel_norm import ParallelRMSNorm
from simulator.ops.tensor import TensorSpec

RANKS = [2, 3, 4]


def parts(ranks: int, shape: tuple[int, ...] = (12, 24)) -> list[Array]:
    g = np.random.default_rng(ranks)
    return [g.normal(size=shape) for _ in range(ranks)]


@pytest.mark.parametrize("n", RANKS)
def test_n8_column_then_row_split_with_all_reduce_equals_unsharded(n: int) -> None:
    g = np.random.default_rng(1)
    x, up, down = g.normal(size=(5, 8)), g.normal(size=(24, 8)), g.normal(size=(6, 24))
    whole = Linear().reference(Linear().reference(x, up)[0], down)[0]
    local = []
    for r in range(n):
        (h,) = Linear().reference(x, np.split(up, n)[r])
        local.append(Linear().reference(h, np.split(down, n, axis=1)[r]))
    out, _ = AllReduce(ranks=n).exchange(local)
    for (o,) in out:
        np.testing.assert_allclose(o, whole, rtol=1e-12)
        np.testing.assert_array_equal(o, out[0][0])


@pytest.mark.parametrize("n", RANKS)
def test_n8_vocabulary_parallel_embedding_and_head(n: int) -> None:
    g = np.random.default_rng(2)
    ids, table = g.integers(0, 24, size=(2, 7)), g.normal(size=(24, 12))
    shards = np.split(table, n)
    out, _ = VocabParallelEmbedding(ranks=n).exchange([(ids, s) for s in shards])
    (whole,) = Embedding().reference(ids, table)
    np.testing.assert_array_equal(out[-1][0], whole)
    logits, _ = AllGather(ranks=n, axis=-1).exchange([Linear().reference(whole, s) for s in shards])
    np.testing.assert_allclose(logits[0][0], whole @ table.T, rtol=1e-12)


@pytest.mark.parametrize("n", RANKS)
def test_n8_norm_over_a_split_dimension_equals_unsharded(n: int) -> None:
    g = np.random.default_rng(3)
    x, w = g.normal(size=(5, 24)), g.normal(size=24)
    out, _ = ParallelRMSNorm(ranks=n).exchange(list(zip(np.split(x, n, axis=1), np.split(w, n), strict=True)))
    np.testing.assert_allclose(np.concatenate([o[0] for o in out], axis=1), RMSNorm().reference(x, w)[0], rtol=1e-12)


def test_local_share_is_the_own_block() -> None:
    x = np.arange(12).reshape(6, 2)
    out, sent = LocalShare(ranks=3).exchange([(x,)] * 3)
    np.testing.assert_array_equal(out[1][0], x[2:4])
    assert sent == [0, 0, 0]


@pytest.mark.parametrize("n", RANKS)
def test_reduce_scatter_then_all_gather_is_all_reduce(n: int) -> None:
    x = [(p,) for p in parts(n)]
    scattered, one = ReduceScatter(ranks=n, axis=0).exchange(x)
    gathered, two = AllGather(ranks=n, axis=0).exchange(scattered)
    reduced, both = AllReduce(ranks=n).exchange(x)
    np.testing.assert_allclose(gathered[0][0], sum(p for (p,) in x), rtol=1e-12)
    np.testing.assert_allclose(reduced[0][0], gathered[0][0], rtol=1e-12)
    assert [a + b for a, b in zip(one, two, strict=True)] == both


@pytest.mark.parametrize("n", RANKS)
def test_all_to_all_there_and_back(n: int) -> None:
    x = [(p,) for p in parts(n)]
    there, _ = AllToAll(ranks=n, split_axis=1, concat_axis=0).exchange(x)
    width = 24 // n
    np.testing.assert_array_equal(there[1][0][:12], x[0][0][:, width : 2 * width])
    back, _ = AllToAll(ranks=n, split_axis=0, concat_axis=1).exchange(there)
    for (a,), (b,) in zip(back, x, strict=True):
        np.testing.assert_array_equal(a, b)


def test_send_recv_shifts_by_ranks_and_keeps_still_for_free() -> None:
    x = [(p,) for p in parts(4)]
    out, sent = SendRecv(ranks=4, shift=-1).exchange(x)
    np.testing.assert_array_equal(out[0][0], x[1][0])
    assert sent == [12 * 24 * 2] * 4
    assert SendRecv(ranks=4, shift=4).exchange(x)[1] == [0] * 4


def test_collective_refuses_another_format_than_its_wire_format() -> None:
    with pytest.raises(ValueError, match="wire format"):
        AllReduce(ranks=2).infer(TensorSpec((4, 4), "fp32"))


def test_one_rank_has_no_work() -> None:
    x = TensorSpec((4, 4))
    for op in (AllReduce(), AllGather(), ReduceScatter(), AllToAll(), SendRecv()):
        assert op.work((x,), op.infer(x)).terms == ()
