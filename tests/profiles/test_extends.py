"""``extends:`` merges maps, replaces figures whole, keeps places, and refuses circles."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.profiles import ProfileError, figures_of, load_device
from simulator.profiles.extends import resolve


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def test_maps_merge_deeply_and_the_child_wins(tmp_path: Path) -> None:
    put(
        tmp_path,
        base="name: base\na: {x: 1, y: {z: 2}}\nl: [1, 2]\n",
        child="extends: base\na: {y: {w: 3}, x: 5}\nl: [3]\n",
    )
    root, files = resolve(tmp_path / "child.yaml")
    assert root.plain() == {"name": "child", "a": {"x": 5, "y": {"z": 2, "w": 3}}, "l": [3]}
    assert [f.stem for f in files] == ["child", "base"]


def test_places_survive_the_merge(tmp_path: Path) -> None:
    put(tmp_path, base="a:\n  x: 1\n  y: 2\n", child="extends: base\n\na:\n  y: 3\n")
    root, _files = resolve(tmp_path / "child.yaml")
    assert (Path(root.at(("a", "x")).file).name, root.at(("a", "x")).line) == ("base.yaml", 2)
    assert (Path(root.at(("a", "y")).file).name, root.at(("a", "y")).line) == ("child.yaml", 4)


def test_a_figure_is_replaced_whole(tmp_path: Path) -> None:
    put(
        tmp_path,
        base="a: {value: 1 GB, kind: measured, source: s, note: old}\n",
        child="extends: base\na: {value: 2 GB, kind: vendor, source: t}\n",
    )
    root, _files = resolve(tmp_path / "child.yaml")
    assert root.plain()["a"] == {"value": "2 GB", "kind": "vendor", "source": "t"}


def test_a_name_is_never_inherited(tmp_path: Path) -> None:
    put(tmp_path, base="name: base\n", middle="extends: base\nname: middle\n", leaf="extends: middle\nx: 1\n")
    assert resolve(tmp_path / "leaf.yaml")[0].plain()["name"] == "leaf"


def test_a_circle_is_one_line_that_shows_it(tmp_path: Path) -> None:
    put(tmp_path, a="extends: b\n", b="extends: c\n", c="x: 1\nextends: a\n")
    with pytest.raises(ProfileError) as error:
        resolve(tmp_path / "a.yaml")
    text = str(error.value)
    assert "c.yaml:2: extends: cyclic" in text
    assert text.count("->") == 3
    assert "\n" not in text


def test_a_users_device_may_extend_the_bundled_one_of_its_name(own: Path) -> None:
    bundled = load_device("h100-sxm")
    (own / "hardware_profiles" / "gpu" / "h100-sxm.yaml").write_text(
        "extends: h100-sxm\nsources: {me: my board}\npower:\n  tdp: {value: 650 W, kind: measured, source: me}\n"
    )
    mine = load_device("h100-sxm")
    assert mine.power.tdp == 650.0
    assert mine.memory == bundled.memory
    assert figures_of(mine)["power.tdp"].citation == "my board"


def test_a_users_device_in_a_loose_file_is_found(own: Path) -> None:
    (own / "mine.yaml").write_text("extends: h100-sxm\n")
    assert load_device("mine").name == "mine"
