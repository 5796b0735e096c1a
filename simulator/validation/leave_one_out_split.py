"""Stand-ins for devices whose whole generation is left out: their datasheet with a neighbour generation's efficiencies."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from simulator.profiles import extends, load_device, search
from simulator.profiles.dump import dump_yaml
from simulator.profiles.output import write_atomically

FOLDERS = {"nvidia": "gpu", "google": "tpu", "huawei": "ascend"}
MARK = "-left-out"


@contextmanager
def without_generation(folder: Path, devices: tuple[str, ...], neighbour: str) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """(measurement folder with ``devices`` under stand-in names, stand-in by device).

    A stand-in keeps every datasheet figure of its device and takes architecture name and efficiencies of ``neighbour``
    (the stem of an architecture file), so that kernels and efficiencies are chosen as for that generation.
    """
    names = {device: device + MARK for device in devices}
    before = os.environ.get(search.ENVIRONMENT)
    with TemporaryDirectory() as scratch:
        for device, name in names.items():
            write_atomically(Path(scratch, f"{name}.yaml"), dump_yaml(stand_in(device, name, neighbour)))
        os.environ[search.ENVIRONMENT] = os.pathsep.join(filter(None, (scratch, before)))
        try:
            yield renamed(folder, Path(scratch, "measurements"), names), names
        finally:
            if before is None:
                del os.environ[search.ENVIRONMENT]
            else:
                os.environ[search.ENVIRONMENT] = before


def stand_in(device: str, name: str, neighbour: str) -> dict[str, object]:
    """Profile of ``device`` called ``name`` that inherits efficiencies and architecture from ``neighbour``."""
    sub = FOLDERS[load_device(device).vendor]
    parent = search.bundled() / "hardware_profiles" / sub / "architectures" / neighbour
    merged, _ = extends.resolve(search.find("device", device), "device")
    own = {k: v for k, v in merged.plain().items() if k not in ("efficiencies", "architecture", "name")}
    return {"extends": str(parent), **own, "name": name}


def renamed(folder: Path, target: Path, names: Mapping[str, str]) -> Path:
    """A copy of the kernel tables of ``folder`` in which devices go by ``names``."""
    (target / "kernels").mkdir(parents=True)
    for path in sorted((folder / "kernels").glob("*.csv")):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        if "device" in table:
            table["device"] = table["device"].replace(dict(names))
            table.to_csv(target / "kernels" / path.name, index=False)
    return target
