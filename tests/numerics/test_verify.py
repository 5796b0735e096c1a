"""Every check of ``silicast verify`` passes on every distinct family; each can fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.numerics import identities
from simulator.numerics.operators import operator_checks
from simulator.numerics.scale_down import scale_down
from simulator.numerics.verify import distinct, model_checks, parameter_checks, verify
from simulator.profiles import list_names, load_model

MODELS = [load_model(name) for name in list_names("model")]
# every mixer, norm, gate and bias that occurs; the other bundled models combine the same parts
FAMILIES = (
    "deepseek-v3.2",
    "deepseek-v4-flash",
    "gated-latent-8b",
    "gemma-3-12b",
    "glm-5.2",
    "gpt-3-175b",
    "gpt-oss-20b",
    "kimi-k2",
    "llama-3.1-8b",
    "llama-4-scout",
    "minimax-m2.5",
    "nemotron-3-nano",
    "qwen3-next-80b-a3b",
)
TINY = [scale_down(load_model(name)) for name in FAMILIES]


@pytest.mark.parametrize("tiny", TINY, ids=[m.name for m in TINY])
def test_all_checks_of_a_family_pass(tiny) -> None:  # type: ignore[no-untyped-def]
    checks = model_checks(tiny)
    assert [c for c in checks if not c.passed] == []
    ids = {c.id for c in checks}
    assert {"D1", "D2", "D3", "D4", "N2", "N8"} <= ids
    assert ("N6" in ids) == (tiny.moe is not None)
    assert {"N17", "N18"} - ids == ({"N17"} if tiny.blocks else set())
    assert ("N19" in ids) == (tiny.mtp is not None)


def test_operators_do_what_they_declare() -> None:
    assert [c for c in operator_checks() if not c.passed] == []


def test_parameters_match_the_published_counts() -> None:
    assert [c for c in parameter_checks(MODELS) if not c.passed] == []


def test_verify_names_checks_uniquely_enough_to_find_them() -> None:
    checks = verify(load_model("llama-3.1-8b"))
    assert all(c.what for c in checks)
    assert {"D5", "N5", "N16"} <= {c.id for c in checks}


def test_the_families_cover_every_part_of_every_bundled_model() -> None:
    covered = {layer for tiny in TINY for layer in tiny.sequence()}
    assert {layer.mixer for model in MODELS for layer in model.sequence()} == {layer.mixer for layer in covered}


def test_models_of_one_structure_are_checked_once() -> None:
    llamas = [load_model("llama-3.1-8b"), load_model("llama-3.1-8b")]
    assert len(list(distinct(llamas))) == 1


def test_identities_can_fail() -> None:
    """A model whose sparse attention cannot see every key is not the dense model."""
    tiny = scale_down(load_model("deepseek-v3.2"))
    assert tiny.indexer is not None
    narrow = replace(tiny, indexer=replace(tiny.indexer, topk=2))
    step = identities.prefill(identities.TOKENS)
    dense = identities.with_mixers(tiny, identities.DENSE)
    error = identities.worst(
        identities.logits(identities.run(narrow, step)), identities.logits(identities.run(dense, step))
    )
    assert error > 1e-3


def test_tiny_models_keep_every_kind_of_layer() -> None:
    for model, tiny in ((m, scale_down(m)) for m in MODELS):
        assert set(tiny.sequence()) == set(model.sequence())
        assert tiny.hidden_size < np.inf
