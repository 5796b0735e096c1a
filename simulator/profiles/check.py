"""Lints profile folders: every file loads, every figure has unit, kind and source; counts what is only estimated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.profiles import aliases, extends, kernel_file, kernel_library, library, load, search
from simulator.profiles.errors import Fault, ProfileError, fail
from simulator.profiles.figures import FIGURE_KINDS, lift
from simulator.profiles.units import allowed
from simulator.profiles.yaml_source import Located, display

if TYPE_CHECKING:
    from simulator.profiles.scenario import Scenario

_PARTIAL_FOLDERS = ("architectures", "fabrics", "parts")
"""Folders with what other profiles extend; their files need not be complete."""


_TELLING_FIELDS = {
    "tiers": "system",
    "basis": "prices",
    "hidden_size": "model",
    "vendors": "runtime",
    "kernels": "kernels",
    "phases": "scenario",
    "serving": "scenario",
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """How well founded a profile is: number of figures by kind."""

    name: str
    counts: dict[str, int]

    @property
    def estimated_share(self) -> float:
        """Share of figures that are only estimated (0 for a profile without figures)."""
        total = sum(self.counts.values())
        return self.counts["estimated"] / total if total else 0.0


def check(paths: Iterable[str | Path] = ()) -> list[Fault]:
    """Every fault in the YAML files at or below ``paths`` (default: everything on the search path), sorted by place."""
    faults: dict[Fault, None] = {}
    files = files_below(paths)
    for file in files:
        faults |= dict.fromkeys(check_file(file))
    faults |= dict.fromkeys(_mixed_dimensions(files))
    return sorted(faults, key=lambda f: (f.file, f.line, f.field))


def check_file(path: Path) -> list[Fault]:
    """Every fault of one file."""
    try:
        return list(_faults(path))
    except ProfileError as error:
        return list(error.faults)


def files_below(paths: Iterable[str | Path] = ()) -> tuple[Path, ...]:
    """The YAML files at or below ``paths``, sorted. ProfileError if a path does not exist."""
    found: set[Path] = set()
    for path in [Path(p) for p in paths] or _everything():
        if not path.exists():
            raise fail(str(path), 0, "", "no such file or folder")
        found |= {p for s in ("*.yaml", "*.yml") for p in path.rglob(s)} if path.is_dir() else {path}
    return tuple(sorted(found))


def provenance(names: Iterable[str] = ()) -> tuple[Provenance, ...]:
    """Figures by kind of the devices ``names`` (default: all). ProfileError if one does not load."""
    listed: list[Provenance] = []
    for name in tuple(names) or search.list_names("device"):
        kinds = [figure.kind for figure in library.figures_of(name, "device").values()]
        listed.append(Provenance(name, {kind: kinds.count(kind) for kind in FIGURE_KINDS}))
    return tuple(listed)


def _everything() -> list[Path]:
    return list(dict.fromkeys(f for kind in search.KINDS for f in search.folders(kind) if f.is_dir()))


def _faults(path: Path) -> Iterator[Fault]:
    partial = path.resolve().parent.name in _PARTIAL_FOLDERS
    kind = search.kind_of(path.resolve().parent if partial else path)
    if kind == "runtime" and path.stem != "runtime":
        yield from kernel_file.faults_in(path)
        if not search.candidates("runtime", path.resolve().parent.name):
            message = "no runtime.yaml beside it and no stack of this name elsewhere"
            yield Fault(display(path), 0, "", message, path.resolve().parent.name)
        return
    if kind == kernel_library.KIND:
        yield from kernel_library.faults_in(path)
        return
    root, _files = extends.resolve(path, kind)
    kind = kind or _kind_by_content(root)
    if kind == "kernels":
        yield from kernel_file.faults_in(path)
        return
    cls = _class(root, path, kind, partial)
    if cls is None:
        yield from lift(root)[2]
        return
    if kind == "scenario":
        root = aliases.prepare(root, {})
    sourced = kind not in library.UNSOURCED
    faults = load.faults_of(cls, root, sourced=sourced, partial=partial)
    yield from faults
    if kind == "scenario" and not faults:
        yield from _unknown_names(root)
        yield from _loads_misfit(root)


def _mixed_dimensions(files: Iterable[Path]) -> Iterator[Fault]:
    """Stack values of one family and name must measure the same thing in every runtime; the first one found decides."""
    first: dict[tuple[str, str], tuple[str, str]] = {}
    for path in files:
        if search.kind_of(path) != "runtime" or path.stem == "runtime" or kernel_file.faults_in(path):
            continue
        for field, figure in kernel_file.figures_in(path).items():
            key = (path.stem, field.rpartition(".")[2])
            unit, place = first.setdefault(key, (figure.unit, f"{figure.file}:{figure.line}"))
            if unit != figure.unit:
                message = f"wrong dimension: {key[1]} is in {unit} at {place}"
                yield Fault(figure.file, figure.line, field, message, repr(figure.text), allowed(unit))


def _kind_by_content(root: Located) -> str | None:
    """Kind of a file that lies outside the usual folders, by a field only that kind has."""
    return next((kind for field, kind in _TELLING_FIELDS.items() if field in root.mapping), None)


def _class(root: Located, path: Path, kind: str | None, partial: bool) -> type | None:
    """Dataclass of a file, None if its folder does not say (then only the figures are looked at)."""
    vendor = root.mapping.get("vendor")
    if kind == "device" or (kind is None and vendor is not None):
        if partial and (vendor is None or vendor.value not in library.VENDORS):
            return None
        return library.device_class(path)
    return library.class_of(kind) if kind in library.CLASSES else None


def _loads_misfit(root: Located) -> Iterator[Fault]:
    """Expert loads of a scenario that do not fit its model."""
    section, name = root.child("routing"), root.mapping["model"].value
    loads = section.child("loads") if section is not None else None
    if loads is None or not isinstance(name, str) or not search.candidates("model", name):
        return
    scenario: Scenario = load.build(library.class_of("scenario"), root, sourced=False)[0]
    moe = library.load_model(name).moe
    misfit = scenario.routing.misfit(moe.experts, moe.topk) if moe is not None else "the model has no experts"
    if misfit:
        yield Fault(loads.file, loads.line, "routing.loads", misfit)


def _unknown_names(root: Located) -> Iterator[Fault]:
    """Names of other profiles in a scenario that nothing on the search path answers to."""
    for kind in ("model", "system", "device", "runtime", "prices"):
        node = root.mapping.get(kind)
        if node is None or not isinstance(node.value, str) or not node.value:
            continue
        try:
            search.find(kind, node.value)
        except ProfileError as error:
            for fault in error.faults:
                yield Fault(node.file, node.line, kind, fault.message, node.given(), fault.allowed)
