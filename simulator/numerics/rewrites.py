"""Rewrite checks: fused, overlapped and pipelined graphs compute what the plain graph computes (R1 to R3)."""

from __future__ import annotations

from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.numerics.check import Check, worst
from simulator.numerics.trial import decode, logits, prefill, run
from simulator.passes.fuse import FUSIONS, MERGES, STRIDED_OUTPUTS
from simulator.profiles.model import Model

BOUND = 1e-12

REWRITES: tuple[tuple[str, str, Layout, Options], ...] = (
    *(
        ("R1", f"{merge} and all fusions on tp4", Layout(tp=4), Options(fusions=(merge, *FUSIONS, STRIDED_OUTPUTS)))
        for merge in MERGES
    ),
    ("R2", "two micro-batches", Layout(), Options(overlap="two_batch")),
    ("R3", "two pipeline stages", Layout(pp=2), Options()),
)


def rewrite_checks(model: Model) -> list[Check]:
    """Every rewrite against the plain graph on one device, prefill and decode."""
    checks = []
    for step in (prefill(8), decode(13)):
        expected = logits(run(model, step))
        for number, what, layout, options in REWRITES:
            error = worst(logits(run(model, step, layout, options)), expected)
            checks.append(Check(number, f"{model.name} {step.phase}: {what} = plain graph", error, BOUND))
    return checks
