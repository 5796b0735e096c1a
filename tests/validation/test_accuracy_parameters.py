"""Few parameters: at most 20 efficiencies an architecture, at most 8 fitted values a stack or library and family."""

from __future__ import annotations

import pytest

from simulator.profiles import Figure, kernel_library, list_names, load_kernels
from simulator.profiles.kernel_library import KIND
from simulator.profiles.kernels import families
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


def test_stacks_and_libraries_carry_at_most_eight_fitted_values_a_family():
    lines = stack_values()
    over = [p for p in lines if p.calibrated > MOST_VALUES]
    assert not over, f"over {MOST_VALUES}:\n{listed(over)}\nall:\n{listed(lines)}"


def test_every_library_value_is_called_by_a_stack():
    """A library that nobody calls would hide figures from the count of those who do."""
    called = {(f.file, f.line) for r in list_names("runtime") for f in figures_of_runtime(r)}
    for library in list_names(KIND):
        for at, figure in kernel_library.values(library)[0].items():
            assert (figure.file, figure.line) in called, f"{library}.{at}"


def figures_of_runtime(runtime: str) -> list[Figure]:
    return [f for family in families(runtime) for f in load_kernels(runtime, family).figures().values()]


def test_every_fitted_number_is_counted_once():
    hardware, stack = fitted_numbers()
    assert 0 < hardware <= sum(p.calibrated for p in efficiencies())
    assert 0 < stack <= sum(p.calibrated for p in stack_values())


@pytest.mark.parametrize("line", efficiencies(), ids=lambda p: p.owner)
def test_efficiencies_are_named_and_sourced(line: Parameters):
    assert line.total > 0
