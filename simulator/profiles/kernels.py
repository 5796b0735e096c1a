"""Kernels of a software stack as data: which kernel serves which facts, what it does, and its few stack values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from simulator.profiles import load, search
from simulator.profiles.errors import Fault, ProfileError, nearest
from simulator.profiles.figures import Figure
from simulator.profiles.runtime import Runtime
from simulator.profiles.yaml_source import display

Fact: TypeAlias = str | int | float | bool | None
Trait: TypeAlias = str | int | float | bool


class NoKernelError(ProfileError):
    """No stack has a kernel for what was asked: a gap in the data, unlike a file that is wrong."""


MAX_VALUES = 8
"""Most fitted values one kernel entry may carry."""


LINEAGE: Mapping[str, tuple[str, ...]] = {
    "blackwell_ultra": ("blackwell",),
    "rubin": ("blackwell_ultra", "blackwell"),
    "blackwell_rtx": ("ada", "ampere"),
    "ada": ("ampere",),
}
"""Architecture -> those whose kernels it runs, closest first."""


def lineage(architecture: str) -> tuple[str, ...]:
    """Architectures whose overrides apply to ``architecture``, farthest first, itself last: the later wins."""
    return (*reversed(LINEAGE.get(architecture, ())), architecture)


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel chosen for some facts.

    traits: what it does (split_k, tiles ...). values: stack values in SI by name. substituted_for: the stack that was
    asked for when ``runtime`` only stands in for it, else "".
    """

    runtime: str
    family: str
    traits: Mapping[str, Trait]
    values: Mapping[str, float]
    substituted_for: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """What differs on one architecture."""

    traits: Mapping[str, Trait]
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Entry:
    """One kernel of a family: facts it serves (all must match), traits, values, differences by architecture."""

    match: Mapping[str, tuple[str, ...]]
    traits: Mapping[str, Trait]
    values: Mapping[str, float]
    architectures: Mapping[str, Override]

    def serves(self, facts: Mapping[str, str], *, partial: bool = False) -> bool:
        """True if every listed fact equals one of the accepted values ("*" in a value matches any text).

        A listed fact that is not given refuses, unless ``partial``.
        """
        return all(
            any(_agree(facts[name], v) for v in accepted) if name in facts else partial
            for name, accepted in self.match.items()
        )


@dataclass(frozen=True, slots=True, eq=False)
class KernelTable:
    """Kernels of one family in one stack, in order of preference."""

    runtime: str
    family: str
    entries: tuple[Entry, ...]
    path: Path
    substituted_for: str = ""

    def select(self, architecture: str, **facts: Fact) -> Kernel:
        """The first kernel that serves ``facts``, with the architecture's own values. NoKernelError if none does."""
        return self._first(architecture, facts, partial=False)

    def prefer(self, architecture: str, **facts: Fact) -> Kernel:
        """The first kernel that contradicts none of ``facts`` (facts not given are open). NoKernelError if none."""
        return self._first(architecture, facts, partial=True)

    @property
    def file(self) -> str:
        """The file as messages name it."""
        return display(self.path)

    def figures(self) -> dict[str, Figure]:
        """Dotted path in the file -> figure of every stack value of the table."""
        from simulator.profiles import kernel_file

        return kernel_file.figures_in(self.path)

    def described(self) -> str:
        """How many kernels there are, on how many figures of their own, and which libraries they call."""
        from simulator.profiles import kernel_file

        own, libraries = kernel_file.written_in(self.path), kernel_file.libraries_of(self.path)
        called = f", calls {', '.join(libraries)}" if libraries else ""
        return f"{len(self.entries)} kernels, {len(own)} figures{called}"

    def _first(self, architecture: str, facts: Mapping[str, Fact], *, partial: bool) -> Kernel:
        written = {name: _written(value) for name, value in facts.items() if value is not None}
        for entry in self.entries:
            if entry.serves(written, partial=partial):
                traits, values = dict(entry.traits), dict(entry.values)
                for kin in lineage(architecture):
                    own = entry.architectures.get(kin, _NO_OVERRIDE)
                    traits |= own.traits
                    values |= own.values
                return Kernel(self.runtime, self.family, traits, values, self.substituted_for)
        given = ", ".join(f"{k}={v}" for k, v in written.items())
        message = f"no {self.family} kernel serves these facts"
        raise NoKernelError([Fault(self.file, 0, "kernels", message, given)])


_VERSION = re.compile(r"[-\s]+v?\d|\s*\(")

_NO_OVERRIDE = Override({}, {})


def load_kernels(runtime: str, family: str, vendor: str = "") -> KernelTable:
    """Kernels of ``family`` (gemm, attention, collectives ...) in the stack ``runtime``.

    A stack that has no file of that family, or that nobody described, is replaced by the closest one that has; the
    table and its kernels then carry ``substituted_for``. vendor: only stacks of that vendor may stand in.
    ProfileError: bad file. NoKernelError (one of them): no stack has the family.
    """
    known = canonical_runtime(runtime)
    for candidate in _candidates(known, vendor):
        path = _family_file(candidate, family)
        if path is not None:
            table = _table(path, candidate, family)
            return table if candidate == known else replace(table, substituted_for=runtime)
    close = nearest(family, families()) if family not in families() else ""
    place = f" on {vendor} devices" if vendor else ""
    message = f"no runtime like {runtime!r}{place} has kernels of family {family!r}" + (f", {close}" if close else "")
    known_families = ", ".join(families()) or "nothing: none are installed"
    raise NoKernelError([Fault("runtime", 0, "", message, allowed=known_families)])


def families(runtime: str | None = None) -> tuple[str, ...]:
    """Kernel families that ``runtime`` (default: any stack) has a file for, sorted."""
    names = _folder_names() if runtime is None else (canonical_runtime(runtime),)
    return _files_of(names, *_places())


def _places() -> tuple[tuple[Path, ...], tuple[tuple[Path, int], ...]]:
    """(folders of runtimes, when the user's own ones among them last changed): what is kept of them holds that long."""
    folders = search.folders("runtime")
    bundled = search.bundled()
    own = (f.absolute() for f in folders if not f.is_relative_to(bundled) and f.is_dir())
    return folders, tuple((f, f.stat().st_mtime_ns) for f in own)


@lru_cache(maxsize=256)
def _files_of(
    names: tuple[str, ...], folders: tuple[Path, ...], changed: tuple[tuple[Path, int], ...]
) -> tuple[str, ...]:
    files = {p.stem for n in names for f in folders for p in (f / n).glob("*.yaml")}
    return tuple(sorted(files - {"runtime"}))


def canonical_runtime(name: str) -> str:
    """Folder name of a stack from any of its spellings, version and remarks left out; an unknown name in lower case.

    "trtllm-1.3.0rc20" and "TensorRT-LLM" are trtllm, "vllm-ascend v0.18.0" is cann.
    """
    spellings = _spellings(*_places())
    bare = _VERSION.split(name, maxsplit=1)[0]
    found = spellings.get(_fold(name)) or spellings.get(_fold(bare))
    return found or bare.strip().lower()


def _candidates(known: str, vendor: str) -> Iterator[str]:
    """Stacks to try in order: itself, the ones it names as closest, the reference stacks, all others.

    A stack of another vendor is no candidate; without a vendor the asked stack's own vendors count.
    """
    described = _described()
    closest = described[known].closest if known in described else ()
    vendors = {vendor} if vendor else set(described[known].vendors) if known in described else set()

    def fits(name: str) -> bool:
        return not vendors or name not in described or bool(vendors & set(described[name].vendors))

    def unlikely(name: str) -> tuple[bool, int, str]:
        return name not in described or not described[name].reference, -len(families(name)), name

    first = (known, *closest)
    yield from filter(fits, first)
    yield from filter(fits, sorted(set(_folder_names()) - set(first), key=unlikely))


def _folder_names() -> tuple[str, ...]:
    return _scan(*_places())[0]


def _described() -> Mapping[str, Runtime]:
    return _scan(*_places())[1]


@lru_cache(maxsize=8)
def _scan(
    folders: tuple[Path, ...], changed: tuple[tuple[Path, int], ...]
) -> tuple[tuple[str, ...], Mapping[str, Runtime]]:
    """(names of all stacks, those that have a runtime.yaml)."""
    names: dict[str, None] = {}
    described: dict[str, Runtime] = {}
    for folder in folders:
        for sub in sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else ():
            if any(sub.glob("*.yaml")) and folder.name == "runtimes":
                names.setdefault(sub.name)
                if sub.name not in described and (sub / "runtime.yaml").is_file():
                    described[sub.name] = load.load_as(Runtime, sub / "runtime.yaml", kind="runtime")
    return tuple(sorted(names)), described


@lru_cache(maxsize=8)
def _spellings(folders: tuple[Path, ...], changed: tuple[tuple[Path, int], ...]) -> Mapping[str, str]:
    """Folded spelling -> folder name; a folder's own name wins over another stack's alias."""
    names, described = _scan(folders, changed)
    table = {_fold(alias): folder for folder, runtime in described.items() for alias in runtime.aliases}
    return table | {_fold(folder): folder for folder in names}


def _family_file(runtime: str, family: str) -> Path | None:
    if not family.replace("_", "").isalnum():
        return None
    return next((p for f in search.folders("runtime") if (p := f / runtime / f"{family}.yaml").is_file()), None)


def _table(path: Path, runtime: str, family: str) -> KernelTable:
    from simulator.profiles import kernel_file

    return KernelTable(runtime, family, kernel_file.entries(path), path)


def _written(value: Fact) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _agree(fact: str, accepted: str) -> bool:
    return fact == accepted or ("*" in accepted and fnmatchcase(fact, accepted))


def _fold(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
