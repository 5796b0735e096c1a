"""Steps an engine makes of requests: mixed, in chunks, with drafts. They compute what plain steps do (N17 to N19)."""

from __future__ import annotations

import itertools

import numpy as np

from simulator.models.layout import Layout
from simulator.models.options import Options
from simulator.models.step import StepShape, mixed
from simulator.numerics.check import Check, worst
from simulator.numerics.executor import Run
from simulator.numerics.trial import logits, next_caches, prefill, run
from simulator.ops.op import Array
from simulator.passes.fuse import FUSIONS, MERGES, STRIDED_OUTPUTS
from simulator.profiles.model import Model

BOUND = 1e-12
FUSED = (next(iter(MERGES)), *FUSIONS, STRIDED_OUTPUTS)
DECODES = StepShape("decode", 3, 2, 13)  # a drafted token is verified along
CHUNK = StepShape("prefill", 2, 5, 11)  # behind six cached tokens
PROMPT, CUTS = 12, (0, 5, 9, 12)


def engine_step_checks(model: Model) -> list[Check]:
    """All of them that apply to the model."""
    return [*mixed_checks(model), *chunk_checks(model), *draft_checks(model)]


def mixed_checks(model: Model) -> list[Check]:
    """N17: one step over decoding requests and prompt chunks = a decode step and a prefill step."""
    if model.blocks:
        return []
    apart = [run(model, step) for step in (DECODES, CHUNK)]
    rows = [found[0].reshape(-1, model.vocab_size) for found in map(logits, apart)]
    expected = [np.concatenate(rows)[None]]
    step = mixed(DECODES, CHUNK)
    names = [v.name for v in run(model, step).graph.values if v.role == "cache"]
    given = {name: _cache(apart, name) for name in names}
    given["ids"] = np.concatenate([_given(r, "ids") for r in apart])
    if any(v.name == "positions" for v in apart[0].graph.values):
        given["positions"] = np.concatenate([_given(r, "positions").ravel() for r in apart])[None]
    checks = []
    for where, layout, fusions in (
        ("one device", None, ()),
        ("tp4", Layout(tp=4), ()),
        ("tp4, fused", Layout(tp=4), FUSED),
    ):
        error = worst(logits(run(model, step, layout, Options(fusions=fusions), given=given)), expected)
        checks.append(Check("N17", f"{model.name}: mixed step on {where} = decode step and prefill step", error, BOUND))
    return checks


def draft_checks(model: Model) -> list[Check]:
    """N19: two draft passes after a decode step, the second on the first's token, on four ranks = on one device."""
    if model.mtp is None:
        return []
    step, options = StepShape("decode", 4, 3, 16), Options(mtp_passes=2)
    expected = _all_logits(run(model, step, options=options))
    checks = []
    for where, layout in (("tp4", Layout(tp=4)), ("tp2 dp2", Layout(tp=2, dp=2, ep=4 if model.moe else 1))):
        error = worst(_all_logits(run(model, step, layout, options)), expected)
        checks.append(Check("N19", f"{model.name}: draft passes on {where} = one device", error, BOUND))
    return checks


def _all_logits(result: Run) -> list[Array]:
    """Scores of the step, then of each draft pass."""
    return result.joined("logits_gather") or result.joined("logits") + result.joined("mtp_logits")


def chunk_checks(model: Model) -> list[Check]:
    """N18: a prompt prefilled chunk by chunk through the caches = the prompt in one step."""
    whole = run(model, prefill(PROMPT))
    ids = _given(whole, "ids").reshape(-1, PROMPT)
    caches = {v.name: _given(whole, v.name) for v in whole.graph.values if v.role == "cache"}
    rows: list[Array] = []
    for first, last in itertools.pairwise(CUTS):
        step = StepShape("prefill", len(ids), last - first, last, sampled=last - first)
        part = run(model, step, given={"ids": ids[:, first:last].ravel(), **caches})
        caches = next_caches(part)
        rows.append(logits(part)[0])
    error = worst([np.concatenate(rows, axis=1)], logits(whole))
    return [Check("N18", f"{model.name}: chunked prefill = prefill in one step", error, 1e-10)]


def _given(result: Run, name: str) -> Array:
    return next(result.values[0][v.id] for v in result.graph.values if v.name == name and v.role in ("input", "cache"))


def _cache(apart: list[Run], name: str) -> Array:
    """layers.0.prefill.kv_cache -> the cache layers.0.kv_cache of the prefill step."""
    scope, layer, group, *rest = name.split(".")
    return _given(apart[group == "prefill"], ".".join((scope, layer, *rest)))
