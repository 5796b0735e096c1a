"""Counts read off the graph are the counts of the closed forms and of the published facts."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from simulator.models.formats import native
from simulator.models.parameters import cache_bytes_per_token, linear_flops_per_token, parameters, summary
from simulator.profiles.dtypes import format_of
from tests.models import closed_forms
from tests.models.bundled import NAMES, model
from tests.shared_data import SHARED

FACTS = SHARED / "facts" / "models.yaml"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_the_graph_are_the_closed_form(name: str) -> None:
    """Every weight of the graph, and nothing else."""
    count = parameters(model(name))
    assert (count.total, count.active) == closed_forms.parameters(model(name))


@pytest.mark.parametrize("name", NAMES)
def test_linear_flops_of_the_graph_are_the_closed_form(name: str) -> None:
    """Two FLOPs per weight that multiplies a token."""
    assert linear_flops_per_token(model(name)) == pytest.approx(closed_forms.linear_flops(model(name)), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_cache_growth_is_the_closed_form(name: str) -> None:
    """Native format, and 8-bit caches where the family has them."""
    m = model(name)
    native_is_fp8 = m.formats.kv_cache == "fp8"
    assert cache_bytes_per_token(m) == pytest.approx(closed_forms.kv_bytes(m, fp8=native_is_fp8), rel=1e-12)
    assert cache_bytes_per_token(m, "fp8") == pytest.approx(closed_forms.kv_bytes(m, fp8=True), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_near_the_published_ones(name: str) -> None:
    """Makers round (1T for 1.026e12) and some count a vision tower; nothing may be further off than 4%."""
    published = model(name).published
    if published is None:
        pytest.skip("the maker states no count")
    assert summary(model(name)).total_params_b == pytest.approx(published.total_params_b, rel=0.04)


def test_counts_of_the_deepseek_models() -> None:
    """V3: 671.03e9 parameters, 73.25 GFLOP and 70,272 B a token; V3.2: 671.88e9, 48,068 B with FP8 cache and index."""
    v3, v32 = summary(model("deepseek-v3")), summary(model("deepseek-v3.2"))
    assert round(v3.total_params_b, 2) == 671.03
    assert round(v3.linear_gflop_per_token, 2) == 73.25
    assert (v3.kv_bytes_per_token, v3.kv_format) == (70272, "bfloat16")
    assert round(v32.total_params_b, 2) == 671.88
    assert (v32.kv_bytes_per_token, v32.kv_format) == (48068, "fp8")
    assert round(parameters(model("deepseek-v3")).mtp / 1e9, 2) == 11.61


def test_bytes_of_one_token_copy_between_expert_ranks() -> None:
    """7,392 B dispatched (e4m3 and 56 fp32 scales), 14,336 B combined."""
    m = model("deepseek-v3")
    choice = native(m)
    assert m.hidden_size * format_of(choice.dispatch).bytes == 7392
    assert m.hidden_size * format_of(choice.combine).bytes == 14336


def _facts() -> dict[str, dict[str, object]]:
    if not Path(FACTS).is_file():
        pytest.skip("the facts are not beside this checkout (set SILICAST_SHARED)")
    loaded: dict[str, dict[str, object]] = yaml.safe_load(FACTS.read_text())["models"]
    return loaded


def test_counts_agree_with_the_facts_for_every_model_in_them() -> None:
    """Total, active and multi-token-prediction counts within half a percent."""
    checked = 0
    for name, fact in _facts().items():
        assert name in NAMES
        count = parameters(model(name))
        found = {
            "total_params_b": count.total,
            "active_params_b": count.active,
            "active_without_input_embedding_b": count.matmul,
            "mtp_params_b": count.mtp,
        }
        for key, value in fact.get("computed", {}).items():  # type: ignore[attr-defined]
            assert found[key] / 1e9 == pytest.approx(value, rel=0.005), (name, key)
            checked += 1
    assert checked > 60
