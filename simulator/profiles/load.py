"""A YAML file -> a frozen dataclass: units checked, sources present, unknown keys refused, all faults at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from simulator.profiles import extends, figures, shape
from simulator.profiles.errors import Fault, ProfileError
from simulator.profiles.figures import Figure
from simulator.profiles.overrides import apply_overrides
from simulator.profiles.yaml_source import Located

T = TypeVar("T")

_Stamps = tuple[tuple[Path, tuple[int, int]], ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A profile object, where its figures came from, and the files behind it."""

    value: Any
    figures: Mapping[str, Figure]
    files: tuple[Path, ...]
    stamps: _Stamps


_REMEMBERED = 4096  # loaded objects whose provenance is kept
_cache: dict[tuple[type, Path, str | None, bool], Loaded] = {}
_by_identity: dict[int, Loaded] = {}


def load_as(
    cls: type[T],
    path: str | Path,
    *,
    kind: str | None = None,
    sourced: bool = True,
    overrides: Mapping[str, str] | None = None,
    prepare: Callable[[Located, Mapping[str, str]], Located] | None = None,
) -> T:
    """The profile in the file ``path`` as an instance of ``cls``.

    kind: where ``extends`` may look besides the file's own folder. sourced: dimensioned fields must be figures with
    kind and source (hardware); else a text with a unit is enough (scenarios). overrides: dotted path -> value from the
    command line. prepare: puts the overrides into the merged tree (scenarios also resolve aliases there).
    ProfileError lists every fault, one line each. Loaded objects are cached until one of their files changes.
    """
    file = Path(path)
    key = (cls, file if file.is_absolute() else file.resolve(), kind, sourced)
    known = _cache.get(key)
    if not overrides and known is not None and _fresh(known.stamps):
        _by_identity.setdefault(id(known.value), known)
        return known.value  # type: ignore[no-any-return]
    root, files = extends.resolve(file, kind)
    if prepare is not None:
        root = prepare(root, overrides or {})
    else:
        root = apply_overrides(root, overrides or {}, prefix=f"{kind}." if kind else "")
    loaded = _remember(build(cls, root, sourced=sourced), files)
    if not overrides:
        _cache[key] = loaded
    return loaded.value  # type: ignore[no-any-return]


def build(cls: type[T], root: Located, *, sourced: bool = True) -> tuple[T, dict[tuple[str, ...], Figure]]:
    """(instance of ``cls``, figures by path) from a merged tree. ProfileError lists every fault."""
    value, found, faults = _examine(cls, root, sourced)
    if faults:
        raise ProfileError(faults)
    return value, found


def faults_of(cls: type, root: Located, *, sourced: bool = True, partial: bool = False) -> list[Fault]:
    """Every fault of a merged tree. partial: missing fields are no fault (an architecture others extend)."""
    faults = _examine(cls, root, sourced)[2]
    return [f for f in faults if not (partial and f.message.startswith(_MISSING))]


def loaded_of(value: object) -> Loaded | None:
    """What is known about an object that the loader returned, else None."""
    loaded = _by_identity.get(id(value))
    return loaded if loaded is not None and loaded.value is value else None


_MISSING = "missing"

_ALLOWED = {
    "int": "a whole number",
    "int_from": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
    "dataclass": "a mapping",
}
"""Type of a pydantic error, less its last word -> what the field accepts."""


@lru_cache(maxsize=64)
def adapter(cls: Any) -> Any:
    """pydantic's TypeAdapter of a profile dataclass."""
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _examine(cls: type[T], root: Located, sourced: bool) -> tuple[T, dict[tuple[str, ...], Figure], list[Fault]]:
    """(instance or None, figures by path, faults: one per field, the most telling one)."""
    data, found, in_figures = figures.lift(root)
    _drop_envelope(data, cls)
    in_shape = list(shape.faults(root, cls))
    value, in_values = _validate(cls, data, root, sourced)
    precise = {f.field for f in in_values}  # knows the field's dimension, the figure alone does not
    faults = [*in_shape, *(f for f in in_figures if f.field not in precise)]
    faults += [f for f in in_values if not _said(f, faults)]
    return value, found, sorted(dict.fromkeys(faults), key=lambda f: (f.file, f.line, f.field))


def _drop_envelope(data: dict[str, Any], cls: type) -> None:
    fields = shape.field_types(cls)
    for key in shape.ENVELOPE:
        if key not in fields:
            data.pop(key, None)


def _validate(cls: type[T], data: Any, root: Located, sourced: bool) -> tuple[T, list[Fault]]:
    from pydantic import ValidationError

    none: Any = None
    adapted: Any = cls
    try:
        return adapter(adapted).validate_python(data, context={"sourced": sourced}), []
    except ValidationError as error:
        dropped = shape.other_members(root, cls)
        details = error.errors(include_url=False)
        kept = [d for d in details if not dropped.intersection(map(str, d["loc"]))]
        return none, [_fault(d, root) for d in kept or details]


def _fault(detail: Any, root: Located) -> Fault:
    node, path = _locate(root, detail["loc"])
    field = ".".join(path)
    context = detail.get("ctx") or {}
    if detail["type"] == "quantity":
        return Fault(node.file, node.line, field, context["message"], context["given"], context["allowed"])
    if detail["type"] == "missing":
        return Fault(node.file, node.line, field, _MISSING)
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if detail["type"] != "value_error":
        allowed = _ALLOWED.get(detail["type"].rpartition("_")[0], message)
        return Fault(node.file, node.line, field, "unexpected value", node.given(), allowed)
    culprit = message.split(" ")[0].rstrip(":")  # checks of a dataclass begin with the field they are about
    child = node.child(culprit)
    if child is None:
        return Fault(node.file, node.line, field, message)
    message = message.removeprefix(f"{culprit}: ")
    return Fault(child.file, child.line, ".".join(p for p in (*path, culprit) if p), message)


def _locate(root: Located, steps: tuple[str | int, ...]) -> tuple[Located, tuple[str, ...]]:
    """(deepest existing node, field path) of an error location; names of union members are left out of the path."""
    node, path = root, []
    for position, step in enumerate(steps):
        if step == "[key]":
            continue
        child = node.child(step)
        if child is not None:
            node = child
            path.append(str(step))
        elif position == len(steps) - 1 and not figures.is_figure(node) and isinstance(node.value, dict):
            path.append(str(step))
    return node, tuple(path) or ("",)


def _said(fault: Fault, before: list[Fault]) -> bool:
    """True if a listed fault already accounts for it: of the same field, of a part of it, or a misspelling of it."""

    def accounts(known: Fault) -> bool:
        if known.meant and fault.message.startswith(_MISSING):
            return fault.field == known.meant or fault.field.startswith(known.meant + ".")
        return known.field == fault.field or known.field.startswith(fault.field + ".")

    return bool(fault.field) and any(map(accounts, before))


def _fresh(stamps: _Stamps) -> bool:
    try:
        return all(extends.stamp(path) == before for path, before in stamps)
    except OSError:
        return False


def _remember(built: tuple[Any, dict[tuple[str, ...], Figure]], files: tuple[Path, ...]) -> Loaded:
    value, found = built
    stamps = tuple((path, extends.stamp(path)) for path in files)
    loaded = Loaded(value, {".".join(path): f for path, f in found.items()}, files, stamps)
    _by_identity[id(value)] = loaded
    while len(_by_identity) > _REMEMBERED:  # a sweep with overrides must not grow without bound
        del _by_identity[next(iter(_by_identity))]
    return loaded
