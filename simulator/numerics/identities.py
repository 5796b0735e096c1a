"""Identities between two forms of one computation, on tiny models with shared weights (N1 to N4, N10, N11, N14)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simulator.models.options import Options
from simulator.numerics.check import Check, worst
from simulator.numerics.executor import Run
from simulator.numerics.scale_down import with_mixers
from simulator.numerics.trial import decode, logits, next_caches, prefill, run
from simulator.ops.moe_gate import MoeGate
from simulator.ops.op import Array
from simulator.profiles.model import Model, Moe

TOKENS = 12
DENSE = {"mla_dsa": "mla", "mla_dsa_reuse": "mla"}


def identity_checks(model: Model) -> list[Check]:
    """All identities that apply to the model."""
    return [check for identity in IDENTITIES for check in identity(model)]


def absorbed_equals_expanded(model: Model) -> list[Check]:
    """N1: MLA with the up-projections folded into queries and outputs = MLA with keys and values expanded."""
    if not _has(model, "mla"):
        return []
    step, dense = prefill(TOKENS), with_mixers(model, DENSE)
    absorbed = logits(run(dense, step, options=Options(absorbed_prefill=True)))
    error = worst(absorbed, logits(run(dense, step)))
    return [Check("N1", f"{model.name}: absorbed MLA = expanded MLA", error, 1e-12)]


def prefill_equals_decode(model: Model) -> list[Check]:
    """N2: logits of one prefill = logits of decoding the same tokens one by one through the caches."""
    whole = run(model, prefill(TOKENS))
    ids = _given(whole, "ids").reshape(-1, TOKENS)
    caches = {v.name: _given(whole, v.name) for v in whole.graph.values if v.role == "cache"}
    rows = []
    for position in range(TOKENS):
        given = {"ids": ids[:, position], **caches}
        step = run(model, decode(position + 1), given=given)
        caches = next_caches(step)
        rows.append(logits(step)[0])
    found = [np.concatenate(rows, axis=1)]
    return [Check("N2", f"{model.name}: prefill = token-by-token decode", worst(found, logits(whole)), 1e-10)]


def sparse_equals_dense(model: Model) -> list[Check]:
    """N3: sparse attention that may select every key = dense attention; N4: gathered keys = masked dense attention."""
    if not _has(model, "mla_dsa") or model.indexer is None:
        return []
    step = prefill(TOKENS)
    wide = replace(model, indexer=replace(model.indexer, topk=TOKENS))
    everything = worst(logits(run(wide, step)), logits(run(with_mixers(model, DENSE), step)))
    gathered, masked = run(model, step), run(model, step, options=Options(masked_mha_below=TOKENS))
    return [
        Check("N3", f"{model.name}: sparse attention over all keys = dense attention", everything, 1e-12),
        Check("N4", f"{model.name}: gathered keys = masked attention", worst(logits(gathered), logits(masked)), 1e-12),
    ]


def hadamard_is_neutral(model: Model) -> list[Check]:
    """N10: rotating index queries and keys by a Hadamard matrix leaves their scores unchanged."""
    if not _has(model, "mla_dsa") or model.indexer is None:
        return []
    step = prefill(TOKENS)
    scores = [
        run(replace(model, indexer=replace(model.indexer, hadamard=on)), step).find("index_scores")
        for on in (False, True)
    ]
    seen = [[np.where(np.isfinite(a), a, 0.0) for a in group] for group in scores]
    return [Check("N10", f"{model.name}: Hadamard rotation leaves index scores unchanged", worst(*seen), 1e-12)]


def rotary_is_relative(model: Model) -> list[Check]:
    """N11: shifting all positions leaves the logits unchanged."""
    if model.rope.kind == "none" or model.learned_positions:
        return []
    step = prefill(TOKENS)
    base = run(model, step)
    if not any(v.name == "positions" for v in base.graph.values):
        return []
    shifted = run(model, step, given={"positions": _given(base, "positions") + 37})
    error = worst(logits(shifted), logits(base))
    return [Check("N11", f"{model.name}: rotary positions are relative", error, 1e-10)]


def gate_rules(model: Model) -> list[Check]:
    """N14: each token gets its number of distinct experts from few enough groups, and weights that add up."""
    if model.moe is None:
        return []
    result = run(model, prefill(TOKENS))
    wrong, gap = 0, 0.0
    for node in result.graph.nodes:
        if isinstance(node.op, MoeGate):
            chosen, weights = (result.values[0][o] for o in node.outputs)
            wrong += _gate_faults(model.moe, chosen)
            gap = max(gap, float(np.abs(weights.sum(axis=1) - model.moe.scale).max()))
    checks = [Check("N14", f"{model.name}: experts per token and groups (count of faults)", float(wrong), 0.0)]
    if model.moe.normalise:
        checks.append(Check("N14", f"{model.name}: routing weights add up to the scale", gap, 1e-12))
    return checks


def _gate_faults(moe: Moe, chosen: Array) -> int:
    per_group = moe.experts // moe.groups
    most = moe.topk_groups if moe.groups > 1 else 1
    return sum(len(set(row)) != moe.topk or len({e // per_group for e in row}) > most for row in chosen.tolist())


def _has(model: Model, mixer: str) -> bool:
    return any(layer.mixer.startswith(mixer) for layer in model.sequence())


def _given(result: Run, name: str) -> Array:
    """A graph input of a one-device run."""
    return next(result.values[0][v.id] for v in result.graph.values if v.name == name and v.role in ("input", "cache"))


IDENTITIES: tuple[Callable[[Model], list[Check]], ...] = (
    absorbed_equals_expanded,
    prefill_equals_decode,
    sparse_equals_dense,
    hadamard_is_neutral,
    rotary_is_relative,
    gate_rules,
)
