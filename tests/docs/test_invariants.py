"""docs/invariants.md names tests; each must exist, be numbered once and not be skipped for good."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
NAMED = [(number, name) for number, _, bound in ROWS for name in re.findall(r"`([^`]+)`", bound)]


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("number", "name"), NAMED, ids=[f"{n}-{name.split('::')[-1]}" for n, name in NAMED])
def test_the_test_of_an_invariant_exists(number: str, name: str):
    file, _, function = name.partition("::")
    path = ROOT / file
    assert path.is_file(), f"invariant {number}: no file {file}"
    found = functions(path)
    assert function in found, f"invariant {number}: no {function} in {file}"
    marks = [ast.unparse(d) for d in found[function].decorator_list]
    assert not any("mark.skip" in m or "mark.xfail" in m for m in marks), f"invariant {number} is switched off"


def test_invariants_are_numbered_without_gaps():
    assert [int(number) for number, _, _ in ROWS] == list(range(1, len(ROWS) + 1))
    assert all(text.strip() for _, text, _ in ROWS)
    assert {number for number, _ in NAMED} == {number for number, _, _ in ROWS}
