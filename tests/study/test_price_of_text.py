"""Prices of text follow the tokenizer: the same model with a denser one costs more a character and the same a token."""

from __future__ import annotations

import pytest

from simulator.study.rows import row_of
from simulator.study.simulate import simulate


def test_price_of_characters_is_that_of_their_tokens() -> None:
    row = row_of(simulate("deepseek-v3.2-chat"))
    assert row["usd_per_mchar_input"] == pytest.approx(0.3 * row["usd_per_mtok_input"])
    assert row["usd_per_mchar_output"] == pytest.approx(0.3 * row["usd_per_mtok_output"])
    dense = row_of(simulate("deepseek-v3.2-chat", {"model.tokenizer.tokens_per_character": "0.6"}))
    assert dense["usd_per_mchar_input"] == pytest.approx(2 * row["usd_per_mchar_input"])
    assert dense["usd_per_mtok_input"] == row["usd_per_mtok_input"]


def test_without_a_density_or_a_price_there_is_no_figure() -> None:
    layout = {"model": "mixtral-8x7b", "dp": "1", "ep": "1", "tp": "8"}
    assert row_of(simulate("deepseek-v3.2-chat", layout))["usd_per_mchar_input"] is None
