"""Where fitted figures stand: one key a figure, however many kernels, architectures or stacks run with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from simulator.profiles import (
    Figure,
    KernelTable,
    figures_of,
    kernel_file,
    kernel_library,
    list_names,
    load_device,
    search,
)
from simulator.validation.fit.figure_file import write_figures

_PLACE = re.compile(r"kernels\.(?P<entry>\d+)\.(?:architectures\.(?P<override>\w+)\.)?values\.(?P<name>\w+)")
CALIBRATED = "calibrated"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """A fitted figure.

    A value of kernel ``entry`` of ``file`` ("runtime/family"; override: architecture, "" for the base); a shared one is
    keyed where it is named first. A value of a library: file "kernel_libraries/<library>", entry its line, override its
    family. An efficiency: file its architecture, entry -1. A tier's latency: file its link generation, entry -1,
    override the tier.
    """

    file: str
    entry: int
    override: str
    name: str


Slots = Mapping[tuple[int, str, str], Key]
"""(entry, override, name of a value) -> key of the figure behind it."""


def file_of(table: KernelTable) -> str:
    """ "runtime/family" of the file behind a table; a file that only extends another counts as that one."""
    own = (f for f in table.figures().values() if not _borrowed(f))
    first = next(own, None)
    path = table.path if first is None else Path(first.file)
    return f"{path.parent.name}/{path.stem}"


def path_of(file: str) -> Path:
    """Bundled file of "runtime/family"."""
    return next(p for f in search.folders("runtime") if (p := f / f"{file}.yaml").is_file())


def slots(file: str) -> Slots:
    """Every calibrated value of a kernel file, its libraries' included."""
    path = path_of(file)
    return _slots(file, path, tuple(sorted(kernel_file.figures_in(path).items(), key=lambda item: _order(item[0]))))


def calibrated_keys(file: str) -> dict[Key, float]:
    """Present value of every calibrated figure that the kernels of a file run with, each once."""
    figures = kernel_file.figures_in(path_of(file))
    return {key: figures[_dotted(*slot)].value for slot, key in slots(file).items()}


def files_behind(table: KernelTable) -> frozenset[str]:
    """The table's file and the libraries its kernels call, as keys name them."""
    libraries = {_library(f) for f in table.figures().values() if _borrowed(f)}
    return frozenset({file_of(table), *libraries})


def figure_of(key: Key) -> Figure:
    """The figure behind the key of a stack value, of a library's value or of an efficiency."""
    if key.entry < 0:
        return figures_of(_device_of(key.file))[f"efficiencies.{key.name}"]
    if key.file.startswith(kernel_library.KIND_FOLDER):
        found, _ = kernel_library.values(key.file.rpartition("/")[2])
        return found[f"{key.override}.{key.name}"]
    return kernel_file.figures_in(path_of(key.file))[_dotted(key.entry, key.override, key.name)]


def write(values: Mapping[Key, float], rows: Mapping[Key, int] | int) -> int:
    """Writes fitted stack values and efficiencies where they stand; returns how many."""
    new = {}
    for key, value in values.items():
        figure = figure_of(key)
        new[figure.file, figure.line] = (figure, value, rows if isinstance(rows, int) else rows.get(key, 0))
    write_figures(new)
    return len(new)


@lru_cache(maxsize=256)
def _slots(file: str, path: Path, figures: Iterable[tuple[str, Figure]]) -> Slots:
    first: dict[tuple[str, int], Key] = {}
    found: dict[tuple[int, str, str], Key] = {}
    for at, figure in figures:
        place = _PLACE.fullmatch(at)
        if place is None or figure.kind != CALIBRATED:
            continue
        slot = (int(place["entry"]), place["override"] or "", place["name"])
        key = _library_key(figure) if _borrowed(figure) else Key(file, *slot)
        found[slot] = first.setdefault((figure.file, figure.line), key)
    return found


def _order(at: str) -> tuple[int, int]:
    """Entries in order, the base of one before its architectures."""
    place = _PLACE.fullmatch(at)
    return (int(place["entry"]), int(place["override"] is not None)) if place else (-1, 0)


def _dotted(entry: int, override: str, name: str) -> str:
    own = f"architectures.{override}." if override else ""
    return f"kernels.{entry}.{own}values.{name}"


def _borrowed(figure: Figure) -> bool:
    return Path(figure.file).parent.name == kernel_library.KIND_FOLDER


def _library(figure: Figure) -> str:
    return f"{kernel_library.KIND_FOLDER}/{Path(figure.file).stem}"


def _library_key(figure: Figure) -> Key:
    for at, other in kernel_library.written_in(Path(figure.file)).items():
        if other.line == figure.line:
            family, _, name = at.partition(".")
            return Key(_library(figure), figure.line, family, name)
    raise ValueError(f"{figure.file}:{figure.line}: no library value")


@lru_cache(maxsize=32)
def _device_of(architecture: str) -> str:
    return next(name for name in list_names("device") if load_device(name).architecture == architecture)
