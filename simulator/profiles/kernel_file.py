"""Reads one kernel-family file of a runtime (``workloads/runtimes/<runtime>/<family>.yaml``).

A value of a kernel is a figure, the name of a figure in the file's ``shared:`` map that several kernels run with, or
``library.family.name``, a figure of a kernel library that several stacks call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.profiles import extends, figures, kernel_library, units
from simulator.profiles.errors import Fault, ProfileError, nearest
from simulator.profiles.figures import Figure
from simulator.profiles.kernels import MAX_VALUES, Entry, Override
from simulator.profiles.yaml_source import Located

_TOP = ("name", "extends", "sources", "shared", "kernels", "notes")
_ENTRY = ("match", "traits", "values", "architectures")
_OVERRIDE = ("traits", "values")
_SIGNED = "_offset"
_SHARED = "shared."

_cache: dict[Path, _Read] = {}


@dataclass(frozen=True, slots=True)
class _Read:
    """A family file once read. files: those it came from and the libraries it names, with their stamps."""

    files: tuple[Path, ...]
    stamps: tuple[Any, ...]
    entries: tuple[Entry, ...]
    figures: dict[str, Figure]
    borrowed: frozenset[tuple[str, int]]

    def holds(self) -> bool:
        """True while none of the files has changed."""
        return self.stamps == _stamps(self.files)


def entries(path: Path) -> tuple[Entry, ...]:
    """The kernels of a family file in order. ProfileError lists every fault."""
    return _read(path).entries


def figures_in(path: Path) -> dict[str, Figure]:
    """Dotted path -> figure of every stack value in a family file; a shared one under every kernel that names it."""
    return dict(_read(path).figures)


def written_in(path: Path) -> dict[str, Figure]:
    """Dotted path -> figure of every stack value where it is written: each shared one once, under ``shared``.

    Values of libraries are theirs, not the file's.
    """
    known = _read(path)
    shared = {(f.file, f.line) for at, f in known.figures.items() if at.startswith(_SHARED)} | known.borrowed
    return {at: f for at, f in known.figures.items() if at.startswith(_SHARED) or (f.file, f.line) not in shared}


def libraries_of(path: Path) -> tuple[str, ...]:
    """Names of the kernel libraries that a family file's kernels call, sorted."""
    return tuple(sorted({Path(file).stem for file, _ in _read(path).borrowed}))


def faults_in(path: Path) -> list[Fault]:
    """Every fault of a family file."""
    try:
        _read(path)
    except ProfileError as error:
        return list(error.faults)
    return []


def _read(path: Path) -> _Read:
    known = _cache.get(path)
    if known is None or not known.holds():
        known = _cache[path] = _read_now(path)
    return known


def _read_now(path: Path) -> _Read:
    root, files = extends.resolve(path)
    _body, found, faults = figures.lift(root)
    faults += [*_unknown(root, "", _TOP), *_shape_faults(root)]
    if faults:
        raise ProfileError(sorted(dict.fromkeys(faults), key=lambda f: f.line))
    borrowed = set()
    for at, node in _references(root):
        name = str(node.value)
        if "." not in name:
            found[at] = found["shared", name]
            continue
        figure, _, more = kernel_library.resolve(name)
        if figure is not None:  # said among the faults otherwise
            found[at] = figure
            borrowed.add((figure.file, figure.line))
        files = (*files, *(f for f in more if f not in files))
    built = tuple(_entry(n, ("kernels", str(i)), found) for i, n in enumerate(_list(root.mapping["kernels"])))
    return _Read(files, _stamps(files), built, {".".join(k): v for k, v in found.items()}, frozenset(borrowed))


def _stamps(files: tuple[Path, ...]) -> tuple[Any, ...]:
    return tuple(extends.stamp(f) if f.is_file() else None for f in files)


def _entry(node: Located, at: tuple[str, ...], found: Mapping[tuple[str, ...], Figure]) -> Entry:
    parts = node.mapping
    overrides = {
        name: Override(_traits(sub), _values(sub, (*at, "architectures", name), found))
        for name, sub in _map(parts.get("architectures")).items()
    }
    match = {k: _accepted(v) for k, v in _map(parts.get("match")).items()}
    return Entry(match, _traits(node), _values(node, at, found), overrides)


def _values(node: Located, at: tuple[str, ...], found: Mapping[tuple[str, ...], Figure]) -> dict[str, float]:
    return {name: found[(*at, "values", name)].value for name in _map(node.child("values"))}


def _references(root: Located) -> Iterator[tuple[tuple[str, ...], Located]]:
    """(path, node) of every value that names a figure of the file's shared map or of a library."""
    for i, entry in enumerate(_list(root.mapping["kernels"])):
        parts = {(): entry} | {("architectures", a): n for a, n in _map(entry.child("architectures")).items()}
        for at, part in parts.items():
            for name, node in _map(part.child("values")).items():
                if isinstance(node.value, str):
                    yield ("kernels", str(i), *at, "values", name), node


def _traits(node: Located) -> dict[str, Any]:
    return {k: v.plain() for k, v in _map(node.child("traits")).items()}


def _accepted(node: Located) -> tuple[str, ...]:
    values = [n.value for n in _list(node)] if isinstance(node.value, list) else [node.value]
    return tuple(str(v).lower() if isinstance(v, bool) else str(v) for v in values)


def _map(node: Located | None) -> dict[str, Located]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _list(node: Located) -> list[Located]:
    return node.value if isinstance(node.value, list) else []


def _shape_faults(root: Located) -> Iterator[Fault]:
    kernels, shared = root.mapping.get("kernels"), _map(root.child("shared"))
    yield from _figure_faults(shared, "shared")
    if kernels is None or not isinstance(kernels.value, list) or not kernels.value:
        at = kernels or root
        yield Fault(at.file, at.line, "kernels", "a list is expected", at.given(), "- match: ... values: ...")
        return
    for index, node in enumerate(kernels.value):
        at_field = f"kernels.{index}"
        if not isinstance(node.value, dict):
            yield Fault(node.file, node.line, at_field, "a mapping is expected", node.given(), ", ".join(_ENTRY))
            continue
        yield from _unknown(node, at_field, _ENTRY)
        yield from _map_faults(node, at_field, _ENTRY)
        yield from _value_faults(node, at_field, shared)
        for name, sub in _map(node.child("architectures")).items():
            yield from _unknown(sub, f"{at_field}.architectures.{name}", _OVERRIDE)
            yield from _map_faults(sub, f"{at_field}.architectures.{name}", _OVERRIDE)
            yield from _value_faults(sub, f"{at_field}.architectures.{name}", shared)


def _number(figure: Located) -> float:
    try:
        return units.parse_any(figures.text_of(figure.mapping["value"]))[0]
    except units.UnitError:
        return 0.0  # said when the figure itself was read


def _unknown(node: Located, field: str, allowed: tuple[str, ...]) -> Iterator[Fault]:
    for key, child in _map(node).items():
        if key not in allowed:
            close = nearest(key, allowed)
            message = "unknown key" + (f", {close}" if close else "")
            yield Fault(child.file, child.line, f"{field}.{key}".lstrip("."), message, repr(key), ", ".join(allowed))


def _map_faults(node: Located, field: str, keys: tuple[str, ...]) -> Iterator[Fault]:
    for key in keys:
        child = node.child(key)
        if child is not None and not isinstance(child.value, dict):
            yield Fault(child.file, child.line, f"{field}.{key}", "a mapping is expected", child.given())


def _value_faults(node: Located, field: str, shared: Mapping[str, Located]) -> Iterator[Fault]:
    values = _map(node.child("values"))
    for name, child in values.items():
        if isinstance(child.value, str) and (unknown := _unknown_reference(child.value, shared)) is not None:
            message, known = unknown
            yield Fault(child.file, child.line, f"{field}.values.{name}", message, child.given(), known)
    own = {name: child for name, child in values.items() if not isinstance(child.value, str)}
    yield from _figure_faults(own, f"{field}.values")
    if len(values) > MAX_VALUES:
        most = f"at most {MAX_VALUES}"
        yield Fault(node.file, node.line, f"{field}.values", "too many values", str(len(values)), most)


def _unknown_reference(name: str, shared: Mapping[str, Located]) -> tuple[str, str] | None:
    """(what is wrong, what is allowed) of a named figure, None where there is one."""
    if "." not in name:
        return None if name in shared else ("no shared figure of this name", ", ".join(shared) or figures.FORM)
    figure, allowed, _ = kernel_library.resolve(name)
    return None if figure is not None else ("no kernel library has this figure", allowed)


def _figure_faults(values: Mapping[str, Located], field: str) -> Iterator[Fault]:
    for name, child in values.items():
        if not figures.is_figure(child):
            message = "a figure with its source is expected"
            yield Fault(child.file, child.line, f"{field}.{name}", message, child.given(), figures.FORM)
        elif _number(child) < 0 and not name.endswith(_SIGNED):
            text = child.mapping["value"].given()
            message = f"negative; only values called *{_SIGNED} may be"
            yield Fault(child.file, child.line, f"{field}.{name}", message, text, ">= 0")
