"""Operator checks: every registered operator's examples run, and what they did is what they declare."""

from __future__ import annotations

import numpy as np

from simulator.numerics.check import Check, worst
from simulator.ops.counting import Counts, counted
from simulator.ops.op import CollectiveOp, Example, Op, registry
from simulator.ops.softmax_attention import attention, tiled_attention, visible
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Attention, Gather, Work
from simulator.profiles.dtypes import format_of


def operator_checks() -> list[Check]:
    """D5: one check per operator (shapes, FLOPs, gathered and wire bytes of its examples); N5: tiled softmax."""
    return [*(_operator_check(name, cls) for name, cls in registry().items()), online_softmax()]


def online_softmax() -> Check:
    """N5: softmax over tiles of keys merged by their log-sum-exp = softmax over all keys at once."""
    g = np.random.default_rng(5)
    q, k, v = g.normal(size=(2, 7, 4, 8)), g.normal(size=(2, 19, 2, 8)), g.normal(size=(2, 19, 2, 6))
    mask = visible(7, 19)
    whole = attention(q, k, v, mask, 0.5)
    errors = [worst(list(tiled_attention(q, k, v, mask, 0.5, tile)), list(whole)) for tile in (1, 5, 19)]
    return Check("N5", "online softmax over tiles = softmax at once", max(errors), 1e-12)


def _operator_check(name: str, cls: type[Op]) -> Check:
    error = max((_example_gap(example) for example in cls.examples()), default=float("inf"))
    return Check("D5", f"{name}: shapes, FLOPs, bytes executed = declared", error, 1e-12)


def _example_gap(example: Example) -> float:
    specs = example.specs()
    outputs = example.op.infer(*specs)
    work = example.op.work(specs, outputs)
    per_rank = example.op.per_rank(example.arrays) if isinstance(example.op, CollectiveOp) else [example.arrays]
    with counted() as counts:
        if isinstance(example.op, CollectiveOp):
            results, sent = example.op.exchange(per_rank)
        else:
            results, sent = [example.op.reference(*example.arrays)], [0]
    ranks = len(results)
    gaps = [_shape_gap(outputs, results), _gap(counts.flops / ranks, float(work.flops()))]
    gaps.append(_gap(_touched(example, counts) / ranks, _gathered(work)))
    gaps.extend(_gap(float(s), float(work.wire_bytes())) for s in sent)
    return max(gaps)


def _shape_gap(outputs: tuple[TensorSpec, ...], results: list[tuple[np.ndarray, ...]]) -> float:
    worst = 0.0
    for i, spec in enumerate(outputs):
        mean = np.mean([r[i].shape for r in results], axis=0)
        inferred = np.array([float(d) for d in spec.shape])
        worst = max(worst, float(np.abs(mean - inferred).max(initial=0.0)))
    return worst


def _gap(found: float, declared: float) -> float:
    scale = max(abs(found), abs(declared))
    return abs(found - declared) / scale if scale > 0 else 0.0


def _touched(example: Example, counts: Counts) -> float:
    return sum(n * format_of(example.dtypes[source]).bytes for source, n in counts.touched.items())


def _gathered(work: Work) -> float:
    rows = sum(float(t.bytes_read()) for t in work if isinstance(t, Gather))
    return rows + sum(float(t.kv_bytes()) for t in work if isinstance(t, Attention) and t.selected)
