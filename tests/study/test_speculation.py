"""Speculative decoding end to end: what drafts cost, what is kept of them, and the depth that pays off most."""

from __future__ import annotations

import pytest

from simulator.profiles import ProfileError
from simulator.profiles.scenario import Speculative
from simulator.study.rows import row_of
from simulator.study.simulate import simulate
from simulator.study.sweep import sweep

CHAT = "deepseek-v3.2-chat"
DEPTHS = "0,1,2,3,4,5"


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("drafts", [0, 1, 3, 6])
def test_tokens_kept_follow_the_closed_form(drafts: int, rate: float) -> None:
    """Leviathan et al. 2023, eq. 1."""
    expected = drafts + 1 if rate == 1 else (1 - rate ** (drafts + 1)) / (1 - rate)
    assert Speculative(drafts, acceptance_rate=rate).kept == pytest.approx(expected)


def test_time_per_token_is_the_step_over_the_tokens_kept() -> None:
    result = simulate(CHAT, {"num_speculative_tokens": "3", "acceptance_rate": "0.8"})
    decode = result.phases["decode"]
    assert row_of(result)["tpot_ms"] == pytest.approx(decode.seconds * 1e3 * 0.2 / (1 - 0.8**4))
    given = simulate(CHAT, {"num_speculative_tokens": "3", "acceptance_length": "2.952"})
    assert row_of(given)["tpot_ms"] == pytest.approx(row_of(result)["tpot_ms"])


def test_a_later_draft_pass_costs_less_than_the_first() -> None:
    """The first pass takes 1 + k tokens a request, the others one: k passes are far from k first ones."""
    seconds = []
    for drafts in (1, 4):
        result = simulate(CHAT, {"num_speculative_tokens": str(drafts), "acceptance_rate": "0.7", "batch": "256"})
        operators = result.phases["decode"].operators
        seconds.append(sum(o.total_seconds for o in operators if o.layer_kind == "mtp"))
    per_token = seconds[0] / 2
    assert seconds[1] < per_token * (5 + 3) * 1.5


def test_drafting_deeper_pays_off_up_to_a_point() -> None:
    """At a large batch verifying costs time, so that an inner depth is best; a better draft moves it up."""
    best = {}
    for rate in ("0.5", "0.7", "0.95"):
        grid = sweep(CHAT, {"speculative.num_speculative_tokens": DEPTHS}, {"batch": "128", "acceptance_rate": rate})
        times = [row["tpot_ms"] for row in grid.rows]
        best[rate] = times.index(min(times))
    assert 0 < best["0.7"] < 5
    assert best["0.5"] <= best["0.7"] <= best["0.95"]


def test_a_model_without_a_draft_module_says_what_is_assumed() -> None:
    options = {"model": "llama-3.1-70b", "tp": "8", "dp": "1", "ep": "1"}
    result = simulate(CHAT, options | {"num_speculative_tokens": "2", "acceptance_rate": "0.5"})
    assert any("llama-3.1-70b has no draft module: drafts are taken as free" in n for n in result.notes)
    assert result.phases["decode"].seconds >= simulate(CHAT, options).phases["decode"].seconds
    assert not any("draft module" in n for n in simulate(CHAT, options).notes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"acceptance_rate": "1.2"}, "speculative.acceptance_rate: acceptance_rate must lie in 0 .. 1, not 1.2"),
        ({}, "speculative: needs acceptance_length or acceptance_rate"),
        ({"acceptance_rate": "0.5", "acceptance_length": "1.5"}, "speculative.acceptance_rate: acceptance_length is given too"),
        ({"acceptance_length": "4"}, "acceptance_length must lie in 1 .. 3, not 4"),
    ],
)  # fmt: skip
def test_bad_speculation_is_one_line(options: dict[str, str], says: str) -> None:
    with pytest.raises(ProfileError) as error:
        simulate(CHAT, {"num_speculative_tokens": "2"} | options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
