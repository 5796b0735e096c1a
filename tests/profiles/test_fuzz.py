"""Damaged files: whatever is broken, the answer is an object or faults of one line each, never another exception."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.profiles import ProfileError, load_device, load_scenario
from simulator.profiles.check import check_file
from tests.profiles.samples import DEVICE, SCENARIO

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
QUICK = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def paths(tree: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all entries of nested maps."""
    if not isinstance(tree, dict):
        return []
    return [p for k, v in tree.items() for p in [(*at, k), *paths(v, (*at, k))]]


def broken(text: str, path: tuple[str, ...], junk: object) -> str:
    """``text`` with the entry at ``path`` replaced."""
    tree = yaml.safe_load(text)
    node = tree
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = junk
    return yaml.safe_dump(tree, allow_unicode=True)


def outcome(load: Any, name: str) -> str:
    """The faults' text, or ok; any other exception passes through."""
    try:
        load(name)
    except ProfileError as error:
        assert len(str(error).splitlines()) == len(error.faults)  # noqa: PT017
        return str(error)
    return "ok"


@QUICK
@given(data=st.data())
def test_a_device_with_junk_in_it(device_file: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(paths(yaml.safe_load(DEVICE))))
    device_file.write_text(broken(DEVICE, path, data.draw(JUNK)))
    told = outcome(load_device, "testchip")
    assert (told == "ok") == (check_file(device_file) == [])


@QUICK
@given(data=st.data())
def test_a_scenario_with_junk_in_it(scenario_file: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(paths(yaml.safe_load(SCENARIO))))
    scenario_file.write_text(broken(SCENARIO, path, data.draw(JUNK)))
    told = outcome(load_scenario, "small")
    assert told == "ok" or check_file(scenario_file)


@QUICK
@given(start=st.integers(0, len(DEVICE)), length=st.integers(0, 60), new=st.text(max_size=20))
def test_a_device_file_with_a_damaged_stretch(device_file: Path, start: int, length: int, new: str) -> None:
    device_file.write_text(DEVICE[:start] + new + DEVICE[start + length :], encoding="utf-8", errors="replace")
    assert outcome(load_device, "testchip")


@QUICK
@given(
    option=st.sampled_from(["tp", "batch", "slo.tpot", "phases", "formats", "model", "serving", "x.y"])
    | st.text(max_size=12),
    value=st.text(max_size=30),
)
def test_any_option_is_taken_or_refused(own: Path, option: str, value: str) -> None:
    try:
        load_scenario("small", {option: value})
    except ProfileError as error:
        told = error.faults
        assert all("\n" not in str(f) for f in told)


@pytest.mark.parametrize("name", ["small\n", "sm all", "scenarios/small", "~", "-", "*"])
def test_odd_scenario_names(own: Path, name: str) -> None:
    assert "ok" not in outcome(load_scenario, name).split()
