"""Where profiles are found: the user's own folders first, then the bundled ones. A profile's name is its file stem."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from simulator.profiles.errors import fail, nearest

ENVIRONMENT = "SILICAST_PROFILES"
"""Environment variable with the user's own folders, separated like PATH."""

KINDS: dict[str, tuple[str, ...]] = {
    "device": ("hardware_profiles/gpu", "hardware_profiles/tpu", "hardware_profiles/ascend"),
    "system": ("hardware_profiles/systems",),
    "prices": ("hardware_profiles/prices",),
    "model": ("workloads/models",),
    "traffic": ("workloads/traffic",),
    "runtime": ("workloads/runtimes",),
    "scenario": ("workloads/scenarios",),
    "kernel_library": ("workloads/kernel_libraries",),
}
"""Kind of profile -> its folders below a root. A runtime is a folder with a runtime.yaml, the rest single files."""

_LONGEST_NAME = 200
_SUFFIXES = (".yaml", ".yml")
_own: tuple[Path, ...] = ()


def use_folders(folders: Iterable[str | Path]) -> None:
    """Search ``folders`` before everything else (option ``--profiles``). ProfileError if one is no folder."""
    global _own
    found = tuple(Path(f) for f in folders)
    for folder in found:
        if not folder.is_dir():
            raise fail("--profiles", 0, "", "no such folder", repr(str(folder)), "a folder with YAML profiles")
    _own = found


def roots() -> tuple[Path, ...]:
    """Folders searched, in order: --profiles, the environment, the bundled profiles."""
    listed = os.environ.get(ENVIRONMENT, "")
    environment = tuple(Path(p) for p in listed.split(os.pathsep) if p)
    return (*_own, *environment, bundled())


@lru_cache(maxsize=1)
def bundled() -> Path:
    """The profiles that come with the package: inside a wheel, else the checkout's top level."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_bundled"
    return inside if inside.is_dir() else package.parent


def folders(kind: str) -> tuple[Path, ...]:
    """Folders that may hold profiles of ``kind``. In a user's folder the first path part, or both, may be left out."""
    if kind not in KINDS:
        raise fail("profiles", 0, "", "unknown kind of profile", repr(kind), ", ".join(KINDS))
    found: list[Path] = []
    last = bundled()
    for root in roots():
        for below in KINDS[kind]:
            found.append(root / below)
            if root != last:
                found.append(root / Path(below).name)
        if root != last:
            found.append(root)
    return tuple(dict.fromkeys(found))


def list_names(kind: str) -> tuple[str, ...]:
    """Names of all profiles of ``kind``, sorted.

    Files lying loose in a user's folder count as devices if they name a vendor.
    """
    loose = set(roots()) - {bundled()}
    names: set[str] = set()
    for folder in folders(kind):
        if folder in loose and kind != "device":
            continue
        for path in _files(folder, kind):
            if folder not in loose or _names_vendor(path):
                names.add(path.parent.name if kind == "runtime" else path.stem)
    return tuple(sorted(names))


def find(kind: str, name: str | Path) -> Path:
    """File of the profile ``name`` (a name, or a path to a YAML file). ProfileError lists close names."""
    text = str(name)
    if isinstance(name, Path) or os.sep in text or text.endswith(_SUFFIXES):
        path = Path(text.replace("\0", "?"))
        if kind == "runtime" and (path / "runtime.yaml").is_file():
            return path / "runtime.yaml"
        return path
    path_found = _bundled_file(kind, text) if roots() == (bundled(),) else _lookup(kind, text)
    if path_found is None:
        known = list_names(kind)
        close = nearest(text, known)
        message = f"unknown {kind} {text!r}" + (f", {close}" if close else "")
        raise fail(kind, 0, "", message, allowed=", ".join(known) or "nothing: none are installed")
    return path_found


def candidates(kind: str, name: str) -> list[Path]:
    """Every file that ``name`` could mean, in search order."""
    if not name or name.startswith(".") or "\0" in name or len(name) > _LONGEST_NAME:
        return []
    if kind == "runtime":
        return [p for f in folders(kind) if (p := f / name / "runtime.yaml").is_file()]
    return [p for f in folders(kind) for s in _SUFFIXES if (p := f / (name + s)).is_file()]


def kind_of(path: Path) -> str | None:
    """Kind of profile by the folder a file lies in, or None."""
    parents = path.resolve().parent
    names = (parents.name, parents.parent.name)
    for kind, belows in KINDS.items():
        for below in belows:
            leaf = Path(below).name
            if names[0] == leaf or (kind == "runtime" and names[1] == leaf):
                return kind
    return None


def _lookup(kind: str, name: str) -> Path | None:
    return next(iter(candidates(kind, name)), None)


@lru_cache(maxsize=1024)
def _bundled_file(kind: str, name: str) -> Path | None:
    """File of a bundled profile: those do not come and go while a command runs."""
    return _lookup(kind, name)


def _files(folder: Path, kind: str) -> list[Path]:
    if not folder.is_dir():
        return []
    if kind == "runtime":
        return sorted(folder.glob("*/runtime.yaml"))
    return sorted(p for p in folder.iterdir() if p.suffix in _SUFFIXES and p.is_file() and not p.name.startswith("."))


def _names_vendor(path: Path) -> bool:
    try:
        return "\nvendor:" in "\n" + path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
