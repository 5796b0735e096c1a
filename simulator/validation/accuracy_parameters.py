"""How many numbers stand behind the predictions: efficiencies of each architecture, values of each stack and family."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from simulator.profiles import figures_of, kernel_file, kernel_library, list_names, load_device, search
from simulator.profiles.kernels import families

MOST_EFFICIENCIES = 20
MOST_VALUES = 8
CALIBRATED = "calibrated"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Figures of one architecture (family "") or of one family of a stack.

    entries: kernels of the family. most: most figures that one kernel, or one architecture's difference of it, carries.
    calibrated: figures that a fit made; the others are from datasheets, measured on their own, or estimated.
    """

    owner: str
    family: str
    entries: int
    most: int
    total: int
    calibrated: int


def efficiencies() -> list[Parameters]:
    """One line an architecture."""
    found: dict[str, Parameters] = {}
    for name in list_names("device"):
        architecture = load_device(name).architecture
        if architecture in found:
            continue
        kinds = [f.kind for path, f in figures_of(name).items() if path.startswith("efficiencies.")]
        count = len(kinds)
        found[architecture] = Parameters(architecture, "", 1, count, count, kinds.count(CALIBRATED))
    return sorted(found.values(), key=lambda p: p.owner)


def stack_values() -> list[Parameters]:
    """One line a stack and family, and one a kernel library and family; each figure counts for the file it stands in."""
    return [_of(runtime, family, path) for runtime, family, path in _files()] + list(library_values())


def library_values() -> Iterator[Parameters]:
    """One line a kernel library and family of its values."""
    for library in list_names(kernel_library.KIND):
        kinds: dict[str, list[str]] = {}
        for at, figure in kernel_library.values(library)[0].items():
            kinds.setdefault(at.partition(".")[0], []).append(figure.kind)
        for family, found in kinds.items():
            yield Parameters(library, family, 1, len(found), len(found), found.count(CALIBRATED))


def _of(runtime: str, family: str, path: Path) -> Parameters:
    entries = kernel_file.entries(path)
    kinds = [f.kind for f in kernel_file.written_in(path).values() if Path(f.file).resolve() == path.resolve()]
    sizes = [len(e.values) for e in entries] + [len(o.values) for e in entries for o in e.architectures.values()]
    return Parameters(runtime, family, len(entries), max(sizes), len(kinds), kinds.count(CALIBRATED))


def _files() -> Iterator[tuple[str, str, Path]]:
    for runtime in list_names("runtime"):
        for family in families(runtime):
            for folder in search.folders("runtime"):
                path = folder / runtime / f"{family}.yaml"
                if path.is_file():
                    yield runtime, family, path
                    break


def fitted_numbers() -> tuple[int, int]:
    """(efficiencies, stack values) that a fit made, each counted once however many profiles inherit it."""
    hardware, stack = set(), set()
    for name in list_names("device"):
        for field, figure in figures_of(name).items():
            if field.startswith("efficiencies.") and figure.kind == CALIBRATED:
                hardware.add((figure.file, figure.line))
    for _, _, path in _files():
        for place, figure in kernel_file.written_in(path).items():
            if figure.kind == CALIBRATED:
                stack.add((figure.file, figure.line, place))
    for library in list_names(kernel_library.KIND):
        figures = kernel_library.values(library)[0].values()
        stack |= {(f.file, f.line, "") for f in figures if f.kind == CALIBRATED}
    return len(hardware), len(stack)
