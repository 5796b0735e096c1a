"""Drift tests over every operator: inferred, declared and counted are one thing. New files join by themselves."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil

import numpy as np
import pytest

import simulator.ops as package
from simulator.ops import work as work_terms
from simulator.ops.counting import Counts, counted
from simulator.ops.op import CollectiveOp, Example, Op, registry
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Work
from simulator.profiles.dtypes import format_of

CASES = [
    pytest.param(example, id=f"{name}-{i}")
    for name, cls in registry().items()
    for i, example in enumerate(cls.examples())
]
LOCAL = [c for c in CASES if not isinstance(c.values[0].op, CollectiveOp)]
COLLECTIVE = [c for c in CASES if isinstance(c.values[0].op, CollectiveOp)]
TAKES_ANYTHING = {"Embedding"}  # any shape of ids fits any table


def declared(example: Example) -> tuple[tuple[TensorSpec, ...], Work]:
    specs = example.specs()
    outputs = example.op.infer(*specs)
    return outputs, example.op.work(specs, outputs)


def run(example: Example) -> tuple[list[tuple[np.ndarray, ...]], list[int], Counts]:
    """Outputs and bytes sent of every rank, and what the references multiplied and touched."""
    per_rank = example.op.per_rank(example.arrays) if isinstance(example.op, CollectiveOp) else []
    with counted() as counts:
        if isinstance(example.op, CollectiveOp):
            outputs, sent = example.op.exchange(per_rank)
        else:
            outputs, sent = [example.op.reference(*example.arrays)], [0]
    return outputs, sent, counts


def gathered_bytes(terms: Work) -> float:
    total = 0.0
    for t in terms:
        if isinstance(t, work_terms.Gather):
            total += t.bytes_read()
        if isinstance(t, work_terms.Attention) and t.selected:
            total += t.kv_bytes()
    return total


@pytest.mark.parametrize("name", registry())
def test_operator_is_a_frozen_dataclass_with_examples_and_a_family(name: str) -> None:
    cls = registry()[name]
    assert dataclasses.is_dataclass(cls)
    assert cls.__dataclass_params__.frozen
    assert len(cls.examples()) >= 2
    assert isinstance(cls.family, str)
    assert cls.__doc__
    assert name in package.__doc__


def test_registry_finds_every_operator_class_of_every_module() -> None:
    found = []
    for info in pkgutil.iter_modules(package.__path__):
        module = __import__(f"simulator.ops.{info.name}", fromlist=["*"])
        classes = (c for _, c in inspect.getmembers(module, inspect.isclass))
        own = [c for c in classes if c.__module__ == module.__name__]
        found += [c.__name__ for c in own if issubclass(c, Op) and not inspect.isabstract(c)]
    assert sorted(n for n in found if not n.startswith("_")) == list(registry())


@pytest.mark.parametrize("example", LOCAL)
def test_inferred_shape_is_reference_shape(example: Example) -> None:
    outputs, _ = declared(example)
    arrays = run(example)[0][0]
    assert [tuple(s.shape) for s in outputs] == [a.shape for a in arrays]


@pytest.mark.parametrize("example", COLLECTIVE)
def test_inferred_shape_is_the_mean_shape_over_ranks(example: Example) -> None:
    outputs, _ = declared(example)
    per_rank = run(example)[0]
    for i, spec in enumerate(outputs):
        np.testing.assert_allclose(np.mean([r[i].shape for r in per_rank], axis=0), spec.shape, rtol=1e-12)


@pytest.mark.parametrize("example", CASES)
def test_declared_matmul_flops_are_the_flops_counted(example: Example) -> None:
    _, work = declared(example)
    counts = run(example)[2]
    ranks = getattr(example.op, "ranks", 1)
    assert counts.flops / ranks == pytest.approx(work.flops(), rel=1e-12)


@pytest.mark.parametrize("example", CASES)
def test_declared_gather_bytes_are_the_bytes_touched(example: Example) -> None:
    _, work = declared(example)
    counts = run(example)[2]
    ranks = getattr(example.op, "ranks", 1)
    touched = sum(n * format_of(example.dtypes[source]).bytes for source, n in counts.touched.items())
    assert touched / ranks == pytest.approx(gathered_bytes(work), rel=1e-12)


@pytest.mark.parametrize("example", COLLECTIVE)
def test_bytes_moved_are_the_wire_bytes_declared(example: Example) -> None:
    _, work = declared(example)
    sent = run(example)[1]
    assert sent == [work.wire_bytes()] * len(sent)


@pytest.mark.parametrize("example", LOCAL)
def test_vector_passes_read_their_inputs_and_write_their_outputs_once(example: Example) -> None:
    outputs, work = declared(example)
    only_vector = all(isinstance(t, work_terms.Elementwise) for t in work.terms)
    if not work.terms or not only_vector or example.op.moves_part:
        return
    assert work.bytes_read() == pytest.approx(sum(s.nbytes for s in example.specs()))
    assert work.bytes_written() == pytest.approx(sum(s.nbytes for s in outputs))


@pytest.mark.parametrize("example", CASES)
def test_references_accept_float32_and_keep_it(example: Example) -> None:
    if isinstance(example.op, CollectiveOp):
        return
    narrow = [a.astype(np.float32) if a.dtype == np.float64 else a for a in example.arrays]
    outputs = example.op.reference(*narrow)
    assert all(o.dtype == np.float32 for o in outputs if np.issubdtype(o.dtype, np.floating))


def totals(work: Work) -> dict[str, object]:
    parts = ("flops", "bytes_read", "bytes_written", "vector_ops", "exponentials", "wire_bytes")
    return {p: getattr(work, p)() for p in parts}


@pytest.mark.parametrize("example", CASES)
def test_array_dimensions_cost_a_whole_sweep_in_one_call(example: Example) -> None:
    """Every dimension an array of three equal entries: each entry must equal the scalar answer."""
    scalar = totals(declared(example)[1])
    specs = tuple(s.with_shape(*(np.full(3, d) for d in s.shape)) for s in example.specs())
    outputs = example.op.infer(*specs)
    swept = totals(example.op.work(specs, outputs))
    for part, value in scalar.items():
        np.testing.assert_allclose(np.broadcast_to(swept[part], 3), value, rtol=1e-12, err_msg=part)


@pytest.mark.parametrize("example", LOCAL)
def test_misfitting_shapes_are_refused_by_operator_name(example: Example) -> None:
    """A first input whose dimensions do not fit the others."""
    first, *others = example.specs()
    if not others or type(example.op).__name__ in TAKES_ANYTHING:
        return
    wrong = first.with_shape(*(d + 13 for d in first.shape))
    with pytest.raises(ValueError, match=rf"^({'|'.join(registry())}): .*; got \("):
        example.op.infer(wrong, *others)
