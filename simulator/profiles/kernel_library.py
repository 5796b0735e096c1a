"""Kernel libraries that several stacks call (``workloads/kernel_libraries/<library>.yaml``): values by operator family.

A stack's kernel file runs with a library's value by naming it ``library.family.name`` in place of a figure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simulator.profiles import extends, figures, search
from simulator.profiles.errors import Fault, ProfileError, nearest
from simulator.profiles.figures import Figure
from simulator.profiles.yaml_source import Located

KIND = "kernel_library"
KIND_FOLDER = "kernel_libraries"
_PLAIN = ("name", "extends", "sources", "description")


def values(name: str) -> tuple[dict[str, Figure], tuple[Path, ...]]:
    """("family.name" -> figure of every value of the library ``name``, the files they stand in). ProfileError: bad file."""
    path = search.find(KIND, name)
    found, faults, files = _read(path)
    if faults:
        raise ProfileError(faults)
    return found, files


def written_in(path: Path) -> dict[str, Figure]:
    """ "family.name" -> figure of every value of a library file. ProfileError: bad file."""
    found, faults, _ = _read(path)
    if faults:
        raise ProfileError(faults)
    return found


def faults_in(path: Path) -> list[Fault]:
    """Every fault of a library file."""
    try:
        return _read(path)[1]
    except ProfileError as error:
        return list(error.faults)


def resolve(reference: str) -> tuple[Figure | None, str, tuple[Path, ...]]:
    """(figure behind ``library.family.name``, what may stand there if there is none, files it depends on)."""
    library, _, rest = reference.partition(".")
    if library not in search.list_names(KIND):
        close = nearest(library, search.list_names(KIND))
        return None, close or ", ".join(search.list_names(KIND)), ()
    known, files = values(library)
    if rest in known:
        return known[rest], "", files
    return None, ", ".join(f"{library}.{n}" for n in known), files


def _read(path: Path) -> tuple[dict[str, Figure], list[Fault], tuple[Path, ...]]:
    root, files = extends.resolve(path, KIND)
    _, lifted, faults = figures.lift(root)
    faults += _shape_faults(root)
    return {".".join(at): f for at, f in lifted.items()}, sorted(dict.fromkeys(faults), key=lambda f: f.line), files


def _shape_faults(root: Located) -> Iterator[Fault]:
    for family, node in root.mapping.items():
        if family in _PLAIN:
            continue
        if not isinstance(node.value, dict) or figures.is_figure(node):
            yield Fault(node.file, node.line, family, "a map of figures is expected", node.given(), figures.FORM)
            continue
        for name, child in node.value.items():
            if not figures.is_figure(child):
                message = "a figure with its source is expected"
                yield Fault(child.file, child.line, f"{family}.{name}", message, child.given(), figures.FORM)
