"""YAML with places: lines are right, and everything that is not one clean mapping costs one line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.profiles.errors import ProfileError
from simulator.profiles.yaml_source import MAX_BYTES, parse, read, scalar


def refusal(path: Path) -> str:
    with pytest.raises(ProfileError) as error:
        read(path)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(str(path))
    return text


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_values_know_their_line(tmp_path: Path) -> None:
    root = read(write(tmp_path, "# comment\na: 1\nb:\n  c: {d: 2}\n  e:\n    - x\n    - y\n"))
    assert root.mapping["a"].line == 2
    assert root.at(("b", "c", "d")).line == 4
    assert root.at(("b", "e", 1)).line == 7
    assert root.plain() == {"a": 1, "b": {"c": {"d": 2}, "e": ["x", "y"]}}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "file is empty"),
        ("# only a comment\n", "file is empty"),
        ("\n \n", "file is empty"),
        ("- a\n- b\n", "must hold a mapping"),
        ("just words\n", "must hold a mapping"),
        ("a: 1\nb: 2\na: 3\n", ":3: key 'a' appears twice (given first on line 1)"),
        ("a: {b: 1, b: 2}\n", "key 'b' appears twice"),
        (BOMB, "too many"),
        ("a: *nowhere\n", "undefined alias|alias without an anchor"),
        ("a: !!python/object/apply:os.system [echo]\n", "tags are not accepted"),
        ("a: !custom x\n", "tags are not accepted"),
        ("a: !!str 1\n", "tags are not accepted"),
        ("a: 1\n---\nb: 2\n", "more than one document"),
        ("? [a, b]\n: 1\n", "a key must be a plain word"),
        ("b: &x {c: 1}\na:\n  <<: *x\n", "merge keys are not accepted"),
        ("a: [1, 2\n", "not valid YAML"),
        ("a: b: c\n", "not valid YAML"),
        ("\tx: 1\n", "not valid YAML"),
        ("a: " + "[" * 200 + "]" * 200 + "\n", "nested too deeply"),
        ("a: " + "{b: " * 5000 + "}" * 5000 + "\n", "nested too deeply|not valid YAML"),
        (b"a: \xff\xfe\n", "not UTF-8"),
        (b"ok: 1\nname: Z\xfcrich\n", ":2: not UTF-8 (given byte 0xfc"),
        ("a: \x00\n", "not valid YAML"),
        ("a: " + "x, " * MAX_BYTES, "file too large"),
        ("a: [" + "1, " * 150_000 + "1]\n", "too many values"),
    ],
)
def test_refuses_in_one_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    text = refusal(write(tmp_path, content))
    assert any(part in text for part in says.split("|")), text


def test_ten_megabytes_of_garbage_are_refused_fast(tmp_path: Path) -> None:
    path = write(tmp_path, bytes(range(256)) * 40_000)
    start = time.process_time()
    assert "file too large (given 10240000 bytes" in refusal(path)
    assert time.process_time() - start < 0.5


def test_refuses_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "absent.yaml")


def test_a_few_aliases_are_fine(tmp_path: Path) -> None:
    root = read(write(tmp_path, "a: &x {b: 1}\nc: *x\n"))
    assert root.plain() == {"a": {"b": 1}, "c": {"b": 1}}
    assert root.mapping["c"].line == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("1e-3", 1e-3), ("3.35e12", 3.35e12), (".5", 0.5), ("true", True), ("null", None), ("~", None),
        ("no", "no"), ("on", "on"), ("12:30", "12:30"), ("0x10", "0x10"), ("2026-03", "2026-03"), ("1_000", "1_000"),
        ("3.35 TB/s", "3.35 TB/s"), ("9" * 30, float("9" * 30)),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_numbers_stay_text(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a: '12'\nb: \"true\"\n")).plain() == {"a": "12", "b": "true"}


@given(st.text(max_size=200))
def test_any_text_parses_or_is_refused_in_one_line(text: str) -> None:
    told = ""
    try:
        parse(text, "x.yaml")
    except ProfileError as error:
        told = str(error)
    assert "\n" not in told
