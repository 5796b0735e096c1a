"""YAML text -> a tree in which every value knows its file and line.

Built from parser events rather than from PyYAML's constructors, so that duplicate keys, tags, aliases, depth and size
are under our control and plain scalars follow YAML 1.2 (no sexagesimals, "no" stays a word, 1e-3 is a number).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from simulator.profiles.errors import ProfileError, fail, shown

MAX_BYTES = 2 * 1024 * 1024
MAX_DEPTH = 24
MAX_NODES = 100_000
MAX_ALIASES = 32

Scalar: TypeAlias = str | int | float | bool | None

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {"": None, "~": None, "null": None, "true": True, "false": False}
_WORDS |= {".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


@dataclass(frozen=True, slots=True)
class Located:
    """A YAML value and where it stands.

    value: scalar, dict of Located by key, or list of Located. size: values in it. text: a scalar as written.
    """

    value: Scalar | dict[str, Located] | list[Located]
    file: str
    line: int
    size: int = 1
    text: str = ""

    @property
    def mapping(self) -> dict[str, Located]:
        """The entries of a mapping; ProfileError for anything else."""
        if isinstance(self.value, dict):
            return self.value
        raise fail(self.file, self.line, "", "a mapping is expected", self.given())

    def plain(self) -> Any:
        """The value without locations."""
        if isinstance(self.value, dict):
            return {k: v.plain() for k, v in self.value.items()}
        if isinstance(self.value, list):
            return [v.plain() for v in self.value]
        return self.value

    def at(self, path: tuple[str | int, ...]) -> Located:
        """The node at ``path``, or the deepest existing one on the way there."""
        node = self
        for step in path:
            child = node.child(step)
            if child is None:
                return node
            node = child
        return node

    def child(self, step: str | int) -> Located | None:
        """The entry ``step`` or None."""
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def given(self) -> str:
        """The value as messages repeat it."""
        is_number = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        return self.text if is_number and self.text else shown(self.value)


def display(path: Path) -> str:
    """``path`` as messages name it: relative to the working folder when it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def read_text(path: Path) -> str:
    """Text of a YAML file. ProfileError: not there, a folder, too large, not UTF-8, empty."""
    name = display(path)
    try:
        if path.is_dir():
            raise fail(name, 0, "", "is a folder", allowed="a YAML file")
        if not path.is_file():
            raise fail(name, 0, "", "no such file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise fail(name, 0, "", "file too large", f"{size} bytes", f"at most {MAX_BYTES} bytes")
        raw = path.read_bytes()
    except OSError as error:
        raise fail(name, 0, "", f"cannot be read: {error.strerror or error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise fail(name, line, "", "not UTF-8", f"byte 0x{raw[error.start]:02x}", "UTF-8 text") from None
    if not text.strip():
        raise fail(name, 0, "", "file is empty", allowed="a YAML mapping")
    return text


def read(path: Path) -> Located:
    """The mapping in the file ``path``. ProfileError for anything that is not one clean YAML mapping."""
    root = parse(read_text(path), display(path))
    if not isinstance(root.value, dict):
        raise fail(root.file, root.line, "", "the file must hold a mapping", root.given(), "key: value lines")
    return root


def parse(text: str, file: str) -> Located:
    """The single document in ``text``."""
    try:
        events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        root = _Builder(file, events).document()
    except ProfileError:
        raise
    except yaml.MarkedYAMLError as error:
        line = _line_of(error.problem_mark or error.context_mark)
        raise fail(file, line, "", f"not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise fail(file, 0, "", f"not valid YAML: {str(error).splitlines()[0]}") from None
    return root


def _line_of(mark: Any) -> int:
    return mark.line + 1 if mark is not None else 0


def scalar(text: str) -> Scalar:
    """Value of a plain (unquoted) scalar under the YAML 1.2 core rules."""
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Builder:
    """Builds the tree from events; the only state is the event stream, the anchors and the counters."""

    def __init__(self, file: str, events: Iterator[Any]) -> None:
        self.file, self.events = file, events
        self.anchors: dict[str, Located] = {}
        self.aliases = 0
        self.nodes = 0

    def document(self) -> Located:
        root: Located | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self.fault(event, "more than one document in the file", allowed="one")
                root = self.node(next(self.events), 0)
        if root is None:
            raise fail(self.file, 0, "", "file is empty", allowed="a YAML mapping")
        return root

    def fault(self, event: Any, message: str, given: str = "", allowed: str = "") -> ProfileError:
        return fail(self.file, event.start_mark.line + 1, "", message, given, allowed)

    def count(self, event: Any, nodes: int) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise self.fault(event, "too many values in the file", allowed=f"at most {MAX_NODES}")

    def node(self, event: Any, depth: int) -> Located:
        if depth > MAX_DEPTH:
            raise self.fault(event, "nested too deeply", allowed=f"at most {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event)
        if event.tag is not None and event.tag != "!":
            raise self.fault(event, "tags are not accepted", event.tag)
        line = event.start_mark.line + 1
        self.count(event, 1)
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event.value) if event.implicit[0] else event.value
            built = Located(value, self.file, line, 1, event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            built = self.sequence(line, depth)
        else:
            built = self.map(line, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = built
        return built

    def alias(self, event: Any) -> Located:
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self.fault(event, "too many aliases", f"*{event.anchor}", f"at most {MAX_ALIASES}")
        target = self.anchors.get(event.anchor)
        if target is None:
            raise self.fault(event, "alias without an anchor before it", f"*{event.anchor}")
        self.count(event, target.size)
        return replace(target, line=event.start_mark.line + 1)

    def sequence(self, line: int, depth: int) -> Located:
        items: list[Located] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self.node(event, depth + 1))
        return Located(items, self.file, line, 1 + sum(i.size for i in items))

    def map(self, line: int, depth: int) -> Located:
        entries: dict[str, Located] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line_of_key = _line_of(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent):
                raise self.fault(event, "a key must be a plain word")
            key = event.value
            if key == "<<" and event.implicit[0]:
                raise self.fault(event, "merge keys are not accepted", "<<", "extends: <file>")
            if key in entries:
                raise self.fault(event, f"key {key!r} appears twice", f"first on line {entries[key].line}")
            built = self.node(next(self.events), depth + 1)
            entries[key] = replace(built, line=line_of_key)
        return Located(entries, self.file, line, 1 + sum(e.size for e in entries.values()))
