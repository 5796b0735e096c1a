"""Units: what is read, what is refused, and that writing reads back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.profiles import units
from simulator.profiles.units import UnitError, format_quantity, parse


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        ("3.35 TB/s", "B/s", 3.35e12),
        ("400 Gb/s", "B/s", 50e9),
        ("400 Gbit/s", "B/s", 50e9),
        ("80 GB", "B", 80e9),
        ("50 MiB", "B", 50 * 2**20),
        ("1 TiB", "B", 2.0**40),
        ("1.83 GHz", "Hz", 1.83e9),
        ("0.29 us", "s", 2.9e-7),
        ("0.29 µs", "s", 2.9e-7),
        ("12 ps", "s", 12e-12),
        ("1.2 MW", "W", 1.2e6),
        ("3.9 pJ/bit", "J/B", 31.2e-12),
        ("31 pJ/B", "J/B", 31e-12),
        ("0.5 pJ/FLOP", "J/FLOP", 0.5e-12),
        ("2.5 USD/h", "USD/h", 2.5),
        ("0.09 USD/kWh", "USD/kWh", 0.09),
        ("0.4 kg/kWh", "g/kWh", 400.0),
        ("989 TFLOP/s", "FLOP/s", 989e12),
        ("2 EFLOP/s", "FLOP/s", 2e18),
        ("4096 FLOP/clk", "FLOP/clk", 4096.0),
        ("16op/clk", "op/clk", 16.0),
        ("128 B/clk", "B/clk", 128.0),
        ("600 clk", "clk", 600.0),
        ("0.86", "1", 0.86),
        ("86 %", "1", 0.86),
        ("132", "count", 132.0),
        ("1e3", "count", 1000.0),
    ],
)
def test_reads_a_quantity_into_its_base_unit(text: str, base: str, value: float) -> None:
    assert parse(text, base) == value


@pytest.mark.parametrize(
    ("text", "base", "says"),
    [
        ("3.35e12", "B/s", "unit is missing"),
        ("80 GB", "B/s", "wrong dimension"),
        ("3.35 TiB/s", "B/s", "bandwidths are decimal: write TB/s"),
        ("3.35 tb/s", "B/s", "did you mean 'TB/s'"),
        ("3.35 KB", "B", "did you mean 'kB'"),
        ("989 TFLOPS", "FLOP/s", "unknown unit"),
        ("-1 GB", "B", "negative"),
        ("nan", "1", "not a number"),
        ("inf GB", "B", "not a number"),
        ("1e999 GB", "B", "not finite"),
        ("", "B", "not a number"),
        ("GB", "B", "not a number"),
        ("1 2 GB", "B", "unknown unit"),
        ("0x10 GB", "B", "unknown unit"),
        ("1.5", "count", "not a whole number"),
        ("132 SM", "count", "a count has no unit"),
        ("-4", "count", "negative"),
        ("5 GB", "1", "wrong dimension"),
        ("9" * 100, "count", "not a number"),
        ("٣ GB", "B", "not a number"),
    ],
)
def test_refuses_what_is_not_a_quantity_of_the_dimension(text: str, base: str, says: str) -> None:
    with pytest.raises(UnitError, match=says) as error:
        parse(text, base)
    assert error.value.allowed
    assert "\n" not in str(error.value)


def test_decimal_and_binary_prefixes_differ() -> None:
    assert parse("1 GB", "B") == 1e9
    assert parse("1 GiB", "B") == 2.0**30


@given(
    value=st.floats(min_value=1e-15, max_value=1e18, allow_nan=False) | st.just(0.0),
    base=st.sampled_from([d for d in units.DIMENSIONS if d != "count"]),
)
def test_a_written_quantity_reads_back_to_the_same_float(value: float, base: str) -> None:
    assert parse(format_quantity(value, base), base) == value


@given(value=st.integers(min_value=0, max_value=2**50))
def test_a_written_count_reads_back(value: int) -> None:
    assert parse(format_quantity(value, "count"), "count") == value


@given(text=st.text(max_size=80), base=st.sampled_from(units.DIMENSIONS))
def test_any_text_is_a_quantity_or_one_clear_refusal(text: str, base: str) -> None:
    refusal: UnitError | None = None
    value = 0.0
    try:
        value = parse(text, base)
    except UnitError as error:
        refusal = error
    assert refusal is None or (refusal.message and refusal.allowed)
    assert math.isfinite(value)
    assert value >= 0


@pytest.mark.parametrize(
    ("value", "base", "text"),
    [(3.35e12, "B/s", "3.35 TB/s"), (2.9e-7, "s", "290 ns"), (50 * 2**20, "B", "50 MiB"), (80e9, "B", "80 GB")],
)
def test_writes_the_prefix_people_use(value: float, base: str, text: str) -> None:
    assert format_quantity(value, base) == text


def test_every_unit_names_a_known_dimension() -> None:
    for unit, (base, factor) in units.UNITS.items():
        assert factor > 0, unit
        assert units.allowed(base)
