"""The house's import order: data flows top to bottom, no way back."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "simulator"
ORDER = (
    ("profiles",),
    ("ops",),
    ("models", "passes"),
    ("devices",),
    ("fabric",),
    ("replay",),
    ("serving", "training"),
    ("economics",),
    ("study",),
    ("report",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
ALLOWED = {
    "numerics": {"profiles", "ops", "models", "passes", "numerics"},
    "validation": {*LEVEL, "validation"} - {"cli"},
}
HEAVY = {"pandas", "matplotlib", "jinja2", "scipy", "pyarrow"}
HEAVY_ROOMS = {"report", "study", "validation"}


def room_imports() -> list[tuple[Path, str, str]]:
    """(file, room of the file, imported dotted name) for every import in the package, function-local ones included."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        room = parts[0] if len(parts) > 1 else ""
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found += [(path, room, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.append((path, room, node.module))
    return found


def allowed(room: str, target: str) -> bool:
    if room in ALLOWED:
        return target in ALLOWED[room]
    if room == "cli":
        return True
    return target in LEVEL and LEVEL[target] <= LEVEL[room]


def test_rooms_import_only_what_lies_above_them():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, room, name in room_imports()
        if room and name.startswith("simulator.") and not allowed(room, name.split(".")[1])
    ]
    assert wrong == []


def test_heavy_libraries_stay_in_reports_studies_and_validation():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, room, name in room_imports()
        if name.split(".")[0] in HEAVY and room not in HEAVY_ROOMS
    ]
    assert wrong == []


def test_only_profiles_knows_yaml_and_pydantic():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, room, name in room_imports()
        if name.split(".")[0] in {"yaml", "pydantic"} and room != "profiles"
    ]
    assert wrong == []
