"""Named profiles: ``load_device("h100-sxm")`` and its kin, by name on the search path or by the path of a file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from simulator.profiles import aliases, extends, kernels, load, search
from simulator.profiles.errors import fail, nearest
from simulator.profiles.figures import Figure

if TYPE_CHECKING:
    from simulator.profiles.ascend import Ascend
    from simulator.profiles.gpu import Gpu
    from simulator.profiles.model import Model
    from simulator.profiles.prices import Prices
    from simulator.profiles.runtime import Runtime
    from simulator.profiles.scenario import Scenario
    from simulator.profiles.system import System
    from simulator.profiles.tpu import Tpu

    Device: TypeAlias = Gpu | Tpu | Ascend

VENDORS = {"nvidia": "gpu.Gpu", "google": "tpu.Tpu", "huawei": "ascend.Ascend"}
"""A device file's ``vendor`` -> its dataclass in this room."""

CLASSES = {
    "system": "system.System",
    "prices": "prices.Prices",
    "model": "model.Model",
    "runtime": "runtime.Runtime",
    "scenario": "scenario.Scenario",
}
"""Kind of profile -> its dataclass in this room. Traffic files are read by the serving room through ``load_as``."""

UNSOURCED = ("scenario", "traffic", "model")
"""Kinds whose quantities are choices or counts, not figures with a source."""

Overrides: TypeAlias = Mapping[str, str] | None


def class_of(kind: str, vendor: str = "") -> type:
    """Dataclass of a kind of profile (of a device: by vendor)."""
    name = VENDORS[vendor] if kind == "device" else CLASSES[kind]
    module, attribute = name.split(".")
    found: type = getattr(importlib.import_module(f"simulator.profiles.{module}"), attribute)
    return found


def device_class(path: Path) -> type:
    """Dataclass of a device file. ProfileError if its vendor is missing or unknown."""
    root, _files = extends.resolve(path, "device")
    entry = root.mapping.get("vendor")
    vendor = entry.value if entry is not None else None
    if entry is None or not isinstance(vendor, str) or vendor not in VENDORS:
        at = entry or root
        close = nearest(str(vendor), VENDORS) if vendor else ""
        message = "unknown vendor" + (f", {close}" if close else "") if entry else "missing"
        raise fail(at.file, at.line, "vendor", message, entry.given() if entry else "", ", ".join(VENDORS))
    return class_of("device", vendor)


def load_device(name: str | Path, overrides: Overrides = None) -> Device:
    """The device ``name`` (h100-sxm, tpu-v7x, ascend-910c ... or a YAML path) as Gpu, Tpu or Ascend."""
    path = search.find("device", name)
    device: Device = load.load_as(device_class(path), path, kind="device", overrides=overrides)
    return device


def load_system(name: str | Path, overrides: Overrides = None) -> System:
    """The system ``name`` (hgx-h100, gb200-nvl72 ...): devices and how they are joined."""
    found: System = _load("system", name, overrides)
    return found


def load_prices(name: str | Path, overrides: Overrides = None) -> Prices:
    """The price list ``name``: USD per device-hour on one stated basis."""
    found: Prices = _load("prices", name, overrides)
    return found


def load_runtime(name: str | Path, overrides: Overrides = None) -> Runtime:
    """The software stack ``name`` (vllm, sglang, trtllm, jax, cann ... or another spelling such as TensorRT-LLM)."""
    known = search.candidates("runtime", str(name)) or "/" in str(name)
    found: Runtime = _load("runtime", name if known else kernels.canonical_runtime(str(name)), overrides)
    return found


def load_model(name: str | Path, overrides: Overrides = None) -> Model:
    """The language model ``name``."""
    found: Model = _load("model", _model_name(name), overrides)
    return found


def load_scenario(name: str | Path, overrides: Overrides = None) -> Scenario:
    """The scenario ``name``. overrides: ``--set`` options by dotted path or alias (``tp``, ``max_num_seqs`` ...).

    Options that reach into another profile (``device.memory.bandwidth``) belong to that profile's loader: see
    ``aliases.split_overrides``.
    """
    found: Scenario = load.load_as(
        class_of("scenario"),
        search.find("scenario", name),
        kind="scenario",
        sourced=False,
        overrides=overrides,
        prepare=aliases.prepare,
    )
    return found


def list_names(kind: str) -> tuple[str, ...]:
    """Names of all profiles of a kind: device, system, prices, model, traffic, runtime, scenario."""
    return search.list_names(kind)


def figures_of(profile: object, kind: str | None = None) -> dict[str, Figure]:
    """Dotted field path -> Figure (value, text, unit, kind, source, note, file, line) of a loaded object or a name.

    kind: needed only for a name used by profiles of several kinds. ProfileError: unknown name, or an object that was
    not loaded from a file (a changed copy has no provenance).
    """
    if isinstance(profile, (str, Path)):
        profile = _load_any(profile, kind)
    loaded = load.loaded_of(profile)
    if loaded is None:
        raise fail("profiles", 0, "", "no provenance: not an object the loader returned", type(profile).__name__)
    return dict(loaded.figures)


def _load(kind: str, name: str | Path, overrides: Overrides) -> Any:
    sourced = kind not in UNSOURCED
    return load.load_as(class_of(kind), search.find(kind, name), kind=kind, sourced=sourced, overrides=overrides)


def _model_name(name: str | Path) -> str | Path:
    """The bundled name behind a published one: deepseek-ai/DeepSeek-R1-0528 is deepseek-r1."""
    text = str(name)
    if isinstance(name, Path) or text.endswith((".yaml", ".yml")) or Path(text.replace("\0", "?")).exists():
        return name
    short = text.rpartition("/")[2].lower()
    if search.candidates("model", short):
        return short
    for model in search.list_names("model"):
        also = extends.resolve(search.find("model", model), "model")[0].mapping.get("aliases")
        if also is not None and isinstance(also.value, list) and short in [str(a.value).lower() for a in also.value]:
            return model
    return name if "/" not in text else short


def _load_any(name: str | Path, kind: str | None) -> object:
    kinds = [kind] if kind else [k for k in ("device", *CLASSES) if search.candidates(k, str(name))]
    if not kinds:
        kinds = [search.kind_of(Path(name)) or "device"]
    if kinds[0] == "scenario":
        return load_scenario(name)
    return load_device(name) if kinds[0] == "device" else _load(kinds[0], name, None)
