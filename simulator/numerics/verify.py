"""What ``silicast verify`` runs: operators, drift, identities and sharding on tiny models of the given families."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from simulator.models.parameters import parameters
from simulator.numerics.check import Check
from simulator.numerics.drift import drift_checks
from simulator.numerics.engine_steps import engine_step_checks
from simulator.numerics.identities import identity_checks
from simulator.numerics.operators import operator_checks
from simulator.numerics.rewrites import rewrite_checks
from simulator.numerics.scale_down import scale_down
from simulator.numerics.sharding import exchange_modes, sharding_checks
from simulator.numerics.trial import decode, prefill, run
from simulator.profiles.model import Model

PUBLISHED_BOUND = 0.04  # makers round ("1T" for 1.026e12) and may count a vision tower


def verify(model: Model) -> list[Check]:
    """All checks that concern ``model``: every operator, its scaled-down graph, its parameter count at full size."""
    return [*operator_checks(), *model_checks(scale_down(model)), *parameter_checks([model])]


def distinct(models: Sequence[Model]) -> Iterator[Model]:
    """Tiny models, one for each structure that occurs."""
    seen = set()
    for model in models:
        tiny = scale_down(model)
        key = replace(tiny, name="", family="", source="", note="", aliases=(), unsourced=(), tokenizer=None)
        if key not in seen:
            seen.add(key)
            yield tiny


def model_checks(tiny: Model) -> list[Check]:
    """Drift, identities and sharding of one tiny model."""
    checks = drift_checks(run(tiny, prefill(12)), f"{tiny.name} prefill")
    checks += drift_checks(run(tiny, decode(13)), f"{tiny.name} decode")
    checks += [*identity_checks(tiny), *rewrite_checks(tiny), *engine_step_checks(tiny)]
    return [*checks, *sharding_checks(tiny), *exchange_modes(tiny)]


def parameter_checks(models: Sequence[Model]) -> list[Check]:
    """N16: parameters counted over the weights of the graph = the published count."""
    checks = []
    for model in models:
        if model.published is not None:
            stated = model.published.total_params_b * 1e9
            error = abs(parameters(model).total - stated) / stated
            checks.append(Check("N16", f"{model.name}: parameters counted = published", error, PUBLISHED_BOUND))
    return checks
