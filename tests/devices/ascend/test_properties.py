"""Properties every Ascend cost has: roofline, monotonicity, no NaN, the same answer for arrays and scalars."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices.ascend import cost
from simulator.ops.work import (
    Attention,
    Collective,
    Elementwise,
    Gather,
    GroupedMatmul,
    IndexScores,
    Matmul,
    Term,
    TopK,
    Work,
)
from simulator.profiles import load_device
from simulator.profiles.ascend import Ascend

NAMES = ("ascend-910a", "ascend-910b2", "ascend-910b4", "ascend-910c", "ascend-950pr", "ascend-950dt", "ascend-960")
SIZE = st.integers(1, 5000)


def device(name: str) -> Ascend:
    found = load_device(name)
    assert isinstance(found, Ascend)
    return found


def terms(m: int, n: int, k: int) -> list[Term]:
    heads = 1 + n % 128
    return [
        Matmul(m, n, k),
        Matmul(m, n, k, "int8", "int8", rate="int8"),
        Matmul(m, n, k, b_dtype="int8"),
        GroupedMatmul(m, 8, min(8, m), n, k, "bfloat16", "bfloat16", rate="bf16"),
        Attention(1 + m % 64, 1, k, heads, 1, 128, 128),
        Attention(1, m, m + k, heads, heads, 128, 128),
        Attention(1 + m % 64, 1, k, heads, 1, 576, 512, kv_shared=True, selected=True),
        IndexScores(1 + m % 64, 1 + n % 8, k, 64, 128, rate="int8"),
        TopK(m, k, 512),
    ]


def seconds(term: Term, on: Ascend) -> float:
    return float(np.asarray(cost(term, on).seconds))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NAMES), SIZE, SIZE, SIZE)
def test_no_term_beats_the_roofline(name: str, m: int, n: int, k: int) -> None:
    on = device(name)
    rates = on.core.cube_flop_per_clk
    for term in terms(m, n, k):
        work = Work((term,))
        moved = work.bytes_read() + work.bytes_written()
        if isinstance(term, Matmul | GroupedMatmul):  # outputs may stay in L2
            moved = work.bytes_read()
        flops = sum(f / (on.core.aic * on.core.clock * max(rates.values())) for f in work.matmul_flops().values())
        if isinstance(term, TopK):
            moved = 4.0 * m * k
        assert seconds(term, on) >= max(flops, moved / on.memory.bandwidth) * 0.999999


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(NAMES), SIZE, SIZE, SIZE)
def test_a_better_device_is_never_slower(name: str, m: int, n: int, k: int) -> None:
    on = device(name)
    better = [
        replace(on, memory=replace(on.memory, bandwidth=1.5 * on.memory.bandwidth)),
        replace(on, core=replace(on.core, aic=2 * on.core.aic, aiv=2 * on.core.aiv)),
        replace(on, core=replace(on.core, clock=1.3 * on.core.clock)),
    ]
    for term in [*terms(m, n, k), Elementwise("rmsnorm", m, n, 2.0 * m * n, 2.0 * m * n, 4.0), Gather(m, 2.0 * n)]:
        base = seconds(term, on)
        for other in better:
            assert seconds(term, other) <= base * 1.000001


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dims", [(0, 64, 64), (64, 0, 64), (64, 64, 0), (1, 1, 1), (0, 0, 0)])
def test_empty_and_tiny_dimensions_have_a_finite_cost(name: str, dims: tuple[int, int, int]) -> None:
    m, n, k = dims
    on = device(name)
    empty = [
        Matmul(m, n, k),
        GroupedMatmul(m, 4, min(m, 4), n, k, "int8", "int8", rate="int8"),
        Attention(m, 1, k, 8, 1, 128, 128),
        Attention(1, m, m, 8, 8, 128, 128),
        IndexScores(m, 1, k, 64, 128),
        TopK(m, k, 8),
        Elementwise("unknown", m, n, 2.0 * m * n, 2.0 * m * n),
        Gather(m, 2.0 * n),
    ]
    for term in empty:
        result = cost(term, on)
        assert np.isfinite(np.asarray(result.seconds)).all()
        assert float(np.asarray(result.seconds)) > 0
        assert all(np.isfinite(np.asarray(b)).all() for b in result.busy.values())


def test_arrays_give_the_same_as_scalars() -> None:
    on = device("ascend-910c")
    m = np.array([1, 7, 512, 4096])
    kv = np.array([1, 100, 2048, 131072])
    whole = [
        (Matmul(m, 4096, 7168), [Matmul(int(x), 4096, 7168) for x in m]),
        (Attention(8, 1, kv, 32, 8, 128, 128), [Attention(8, 1, int(x), 32, 8, 128, 128) for x in kv]),
        (
            Elementwise("add", m, 64, 128.0 * m, 64.0 * m),
            [Elementwise("add", int(x), 64, 128.0 * x, 64.0 * x) for x in m],
        ),
    ]
    for many, single in whole:
        assert np.asarray(cost(many, on).seconds).shape == m.shape
        np.testing.assert_allclose(cost(many, on).seconds, [seconds(t, on) for t in single], rtol=1e-12)


def test_a_term_of_the_fabric_is_refused() -> None:
    with pytest.raises(TypeError, match="fabric"):
        cost(Collective("all_reduce", 1e6, 8), device("ascend-910b2"))
