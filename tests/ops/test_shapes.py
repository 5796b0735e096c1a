"""Dimensions as arrays: one call costs a whole sweep axis, entry by entry equal to single calls."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.ops.attention import Attention
from simulator.ops.expert_exchange import ExpertDispatch
from simulator.ops.grouped_linear import GroupedLinear
from simulator.ops.linear import Linear
from simulator.ops.op import Op
from simulator.ops.shapes import share_of
from simulator.ops.sparse_attention import SparseMlaAttention
from simulator.ops.tensor import Dim, TensorSpec
from simulator.ops.views import Reshape, Slice, Split

BATCH = np.array([1, 3, 64])
CONTEXT = np.array([7, 512, 4096])


def attention(b: Dim, n: Dim) -> tuple[TensorSpec, ...]:
    return TensorSpec((b, 2, 8, 64)), TensorSpec((b, n, 2, 64)), TensorSpec((b, n, 2, 64))


def sparse(b: Dim, n: Dim) -> tuple[TensorSpec, ...]:
    return TensorSpec((b, 2, 8, 576)), TensorSpec((b, n, 576)), TensorSpec((b, 2, 256), "int32")


def tokens(b: Dim, n: Dim) -> tuple[TensorSpec, ...]:
    return TensorSpec((b, 64)), TensorSpec((b, 2), "int32"), TensorSpec((b, 2), "fp32")


def rows(b: Dim, n: Dim) -> tuple[TensorSpec, ...]:
    return TensorSpec((b * 2, 64)), TensorSpec((4,), "int32"), TensorSpec((4, 32, 64))


def linear(b: Dim, n: Dim) -> tuple[TensorSpec, ...]:
    return TensorSpec((b, n, 64)), TensorSpec((32, 64))


@pytest.mark.parametrize(
    ("op", "specs"),
    [
        (Attention(window=100), attention),
        (SparseMlaAttention(), sparse),
        (ExpertDispatch(ranks=4, experts=16, topk=2, mode="normal"), tokens),
        (GroupedLinear(experts=16, topk=2), rows),
        (Linear(), linear),
    ],
)
def test_swept_work_equals_single_calls(op: Op, specs: object) -> None:
    swept_in = specs(BATCH, CONTEXT)
    swept = op.work(swept_in, op.infer(*swept_in))
    for i, (b, n) in enumerate(zip(BATCH, CONTEXT, strict=True)):
        single_in = specs(int(b), int(n))
        single = op.work(single_in, op.infer(*single_in))
        for part in ("flops", "bytes_read", "bytes_written", "wire_bytes", "exponentials"):
            got = np.broadcast_to(getattr(swept, part)(), 3)[i]
            assert got == pytest.approx(getattr(single, part)(), rel=1e-12), part


def test_reshape_resolves_the_unknown_dimension_also_in_a_sweep() -> None:
    (flat,) = Reshape((-1, 64)).infer(TensorSpec((BATCH, 5, 64)))
    np.testing.assert_array_equal(flat.shape[0], BATCH * 5)
    assert Reshape((2, -1)).infer(TensorSpec((4, 6)))[0].shape == (2, 12)
    with pytest.raises(ValueError, match="Reshape"):
        Reshape((5, 5)).infer(TensorSpec((4, 6)))


def test_views_check_their_bounds() -> None:
    with pytest.raises(ValueError, match="Split"):
        Split((3, 4)).infer(TensorSpec((2, 8)))
    with pytest.raises(ValueError, match="Slice"):
        Slice(1, 6, 3).infer(TensorSpec((2, 8)))
    with pytest.raises(ValueError, match="Slice"):
        Slice(1, -9, 1).infer(TensorSpec((2, 8)))


def test_share_of_stays_an_integer_where_it_divides() -> None:
    assert share_of(12, 4) == 3
    assert isinstance(share_of(12, 4), int)
    assert share_of(10, 4) == 2.5
    np.testing.assert_array_equal(share_of(np.array([8, 12]), 4), [2, 3])
