"""Compares a YAML tree with a dataclass before values are converted: unknown keys, odd numbers, members of unions."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from simulator.profiles.errors import Fault, closest
from simulator.profiles.figures import is_figure
from simulator.profiles.yaml_source import Located

ENVELOPE = ("extends", "sources", "notes")
"""Keys any profile file may carry besides the fields of its dataclass."""


@lru_cache(maxsize=256)
def field_types(cls: type) -> Mapping[str, Any]:
    """Field name -> type of a dataclass, annotations evaluated, in order of definition."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls) if f.init}


def faults(node: Located, cls: type) -> Iterator[Fault]:
    """A fault for every key that ``cls`` has no field for and every bare number that cannot be one, at any depth."""
    return _walk(node, cls, ())


def _walk(node: Located, hint: Any, path: tuple[str, ...]) -> Iterator[Fault]:
    hint = _unwrap(hint, node)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield from _walk_dataclass(node, hint, path)
        return
    arguments = typing.get_args(hint)
    if hint in (int, float):
        yield from _number_faults(node, hint, path)
    elif isinstance(node.value, dict) and len(arguments) == 2 and not is_figure(node):
        for key, child in node.value.items():
            yield from _walk(child, arguments[1], (*path, key))
    elif isinstance(node.value, list) and arguments:
        for index, child in enumerate(node.value):
            yield from _walk(child, arguments[0], (*path, str(index)))


def _number_faults(node: Located, hint: Any, path: tuple[str, ...]) -> Iterator[Fault]:
    """What pydantic would let pass in a bare number: true for 1, NaN and infinity, counts below zero."""
    field, value = ".".join(path), node.value
    if isinstance(value, bool):
        yield Fault(node.file, node.line, field, "not a number", node.given(), "a number")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Fault(node.file, node.line, field, "not finite", node.given(), "a finite number")
    elif hint is int and isinstance(value, int) and value < 0:
        yield Fault(node.file, node.line, field, "negative", node.given(), "a whole number >= 0")


def _walk_dataclass(node: Located, cls: type, path: tuple[str, ...]) -> Iterator[Fault]:
    if not isinstance(node.value, dict):
        return  # the validator says what is expected
    known = field_types(cls)
    for key, child in node.value.items():
        if key in known:
            yield from _walk(child, known[key], (*path, key))
        elif path or key not in ENVELOPE:
            close = closest(key, known)
            message = "unknown key" + (f", did you mean {close!r}?" if close else "")
            meant = ".".join((*path, close)) if close else ""
            yield Fault(child.file, child.line, ".".join((*path, key)), message, repr(key), ", ".join(known), meant)


def _unwrap(hint: Any, node: Located) -> Any:
    """``hint`` without Annotated and Optional; of several dataclasses the one the node looks most like."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint
    members = [m for m in typing.get_args(hint) if m is not type(None)]
    shapes = [m for m in members if dataclasses.is_dataclass(m)]
    if len(members) == 1 or not shapes or not isinstance(node.value, dict):
        return members[0] if len(members) == 1 else hint
    return max(shapes, key=lambda m: _likeness(node, m))


def _likeness(node: Located, cls: Any) -> tuple[int, int]:
    entries = node.mapping
    types_ = field_types(cls)
    words = sum(
        key in entries and entries[key].value in typing.get_args(hint)
        for key, hint in types_.items()
        if typing.get_origin(hint) is typing.Literal
    )
    return words, len(entries.keys() & types_.keys())


def other_members(node: Located, hint: Any) -> set[str]:
    """Names of the union members the node does *not* mean, so that their complaints can be dropped."""
    dropped: set[str] = set()

    def visit(node: Located, hint: Any) -> None:
        inner = _unwrap(hint, node)
        bare = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
        if typing.get_origin(bare) in (typing.Union, types.UnionType) and dataclasses.is_dataclass(inner):
            members = (m for m in typing.get_args(bare) if isinstance(m, type))
            dropped.update(m.__name__ for m in members if dataclasses.is_dataclass(m) and m is not inner)
        if dataclasses.is_dataclass(inner) and isinstance(node.value, dict):
            for key, sub in field_types(inner).items():  # type: ignore[arg-type]
                if key in node.value:
                    visit(node.value[key], sub)

    visit(node, hint)
    return dropped
