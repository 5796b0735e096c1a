"""``extends:`` a profile inherits another: maps merge deeply, all else is replaced, every value keeps its place."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from simulator.profiles import search
from simulator.profiles.errors import fail, nearest
from simulator.profiles.figures import is_figure
from simulator.profiles.yaml_source import Located, display, read

_Stamp = tuple[int, int]
_parsed: dict[Path, tuple[_Stamp, Located]] = {}
_resolved: dict[tuple[Path, str | None, tuple[Path, ...]], tuple[tuple[_Stamp, ...], Located, tuple[Path, ...]]] = {}


def resolve(path: Path, kind: str | None = None) -> tuple[Located, tuple[Path, ...]]:
    """(the merged mapping of ``path``, every file it came from, the file itself first).

    ``extends`` and an inherited ``name`` are gone from the result; a profile without a name is called after its file.
    ProfileError: unreadable file, unknown or cyclic ``extends``. The result is kept until one of the files changes.
    """
    key = (path, kind, search.roots())
    known = _resolved.get(key) if path.is_absolute() else None
    if known is not None and _unchanged(known[2], known[0]):
        return known[1], known[2]
    merged, files = _resolve(path, kind)
    if path.is_absolute():
        _resolved[key] = (tuple(stamp(f) for f in files), merged, files)
    return merged, files


def _unchanged(files: tuple[Path, ...], stamps: tuple[_Stamp, ...]) -> bool:
    try:
        return all(stamp(f) == before for f, before in zip(files, stamps, strict=True))
    except OSError:
        return False


def _resolve(path: Path, kind: str | None) -> tuple[Located, tuple[Path, ...]]:
    kind = kind or search.kind_of(path)
    chain: list[Path] = []
    layers: list[Located] = []
    current: Path | None = path
    while current is not None:
        chain.append(current.resolve())
        layers.append(_read_cached(current))
        current = _parent(layers[-1], chain, kind)
    merged = _without(layers[-1], "extends", "name") if len(layers) > 1 else _without(layers[0], "extends")
    for layer in reversed(layers[:-1]):
        dropped = ("extends",) if layer is layers[0] else ("extends", "name")
        merged = merge(merged, _without(layer, *dropped))
    if "name" not in merged.mapping:
        stem = path.resolve().parent.name if kind == "runtime" else path.stem
        merged = replace(merged, value=merged.mapping | {"name": Located(stem, layers[0].file, 1)})
    return merged, tuple(chain)


def merge(base: Located, over: Located) -> Located:
    """``over`` on top of ``base``. A figure is replaced whole, so that no source outlives its value."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict) or is_figure(base) or is_figure(over):
        return over
    entries = dict(base.value)
    for key, node in over.value.items():
        entries[key] = merge(entries[key], node) if key in entries else node
    return replace(over, value=entries)


def stamp(path: Path) -> _Stamp:
    """What changes when a file changes."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def _read_cached(path: Path) -> Located:
    try:
        key, now = path.resolve(), stamp(path)
    except OSError:
        return read(path)  # raises the precise fault
    known = _parsed.get(key)
    if known is None or known[0] != now:
        known = _parsed[key] = (now, read(path))
    return known[1]


def _without(node: Located, *keys: str) -> Located:
    return replace(node, value={k: v for k, v in node.mapping.items() if k not in keys})


def _parent(node: Located, chain: list[Path], kind: str | None) -> Path | None:
    entry = node.mapping.get("extends")
    if entry is None:
        return None
    if not isinstance(entry.value, str) or not entry.value:
        raise fail(entry.file, entry.line, "extends", "one profile name is expected", entry.given())
    name = entry.value.removesuffix(".yaml")
    here = chain[-1].parent
    options = [p for s in (".yaml", ".yml") if (p := here / (name + s)).is_file()]
    if kind is not None:
        options += search.candidates(kind, name)
    fresh = [p for p in options if p.resolve() != chain[-1]]  # a user's h100.yaml may extend the bundled h100
    if not options:
        close = nearest(name, search.list_names(kind)) if kind else ""
        raise fail(entry.file, entry.line, "extends", f"no such profile{', ' + close if close else ''}", repr(name))
    if not fresh or fresh[0].resolve() in chain:
        cycle = " -> ".join(display(p) for p in (*chain, (fresh or options)[0].resolve()))
        raise fail(entry.file, entry.line, "extends", "cyclic", cycle)
    return fresh[0]
