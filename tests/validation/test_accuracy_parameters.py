"""Few parameters: at most 20 efficiencies an architecture, at most 8 values a kernel entry of a stack and family."""

from __future__ import annotations

import pytest

from simulator.validation.accuracy_parameters import (
    MOST_EFFICIENCIES,
    MOST_VALUES,
    Parameters,
    efficiencies,
    fitted_numbers,
    stack_values,
)


def listed(lines: list[Parameters]) -> str:
    return "\n".join(
        f"{p.owner:16s} {p.family:16s} {p.entries:3d} kernels, {p.total:4d} figures, most {p.most}" for p in lines
    )


def test_architectures_carry_at_most_twenty_efficiencies():
    lines = efficiencies()
    assert len(lines) >= 10
    over = [p for p in lines if p.total > MOST_EFFICIENCIES]
    assert not over, f"over {MOST_EFFICIENCIES}:\n{listed(over)}\nall:\n{listed(lines)}"


def test_kernels_carry_at_most_eight_values():
    lines = stack_values()
    assert len(lines) >= 30
    over = [p for p in lines if p.most > MOST_VALUES]
    assert not over, f"over {MOST_VALUES}:\n{listed(over)}\nall:\n{listed(lines)}"


def test_stacks_of_one_family_stay_readable():
    """No family of a stack is a table of measured times in disguise."""
    assert max(p.entries for p in stack_values()) <= 32


def test_half_of_the_stacks_carry_at_most_eight_fitted_values_a_family():
    """The others serve unlike kernels (seven expert kernels in one stack); none may grow into a table."""
    lines = stack_values()
    within = [p for p in lines if p.calibrated <= MOST_VALUES]
    assert len(within) >= 0.5 * len(lines), listed(lines)
    assert max(p.calibrated for p in lines) <= 50, listed(sorted(lines, key=lambda p: -p.calibrated)[:8])
    assert fitted_numbers()[1] <= 650


def test_every_fitted_number_is_counted_once():
    hardware, stack = fitted_numbers()
    assert 0 < hardware <= sum(p.calibrated for p in efficiencies())
    assert 0 < stack <= sum(p.calibrated for p in stack_values())


@pytest.mark.parametrize("line", efficiencies(), ids=lambda p: p.owner)
def test_efficiencies_are_named_and_sourced(line: Parameters):
    assert line.total > 0
