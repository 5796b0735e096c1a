"""Rows of NVIDIA attention tables in groups that one kernel of one device serves, and their prediction.

A family module turns its rows into ``Group`` objects; prediction costs each group with the kernel the stack's table
selects, calibration costs the same groups with other values.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import figures_of, load_device
from simulator.profiles.errors import ProfileError
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Fact, Kernel, load_kernels
from simulator.validation.predict.prediction import FloatArray, Prediction, blank, supported

Index = npt.NDArray[np.intp]
Seconds = Callable[[Gpu, Kernel], FloatArray]
SPELLINGS = {"": "bfloat16", "bf16": "bfloat16", "float16": "fp16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}
VENDOR_MODULES = {"google": "tpu_ascend", "huawei": "tpu_ascend"}


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Rows (positions ``index``) of one device and kernel; ``seconds`` costs them all in one call.

    facts: what the stack's kernel table is asked with. core_facts: of a whole layer, what its attention core is asked
    with, in the table of core_family ("": of family); the layer then runs with the values and traits of both entries.
    """

    index: Index
    device: str
    runtime: str
    family: str
    facts: Mapping[str, Fact]
    seconds: Seconds
    core_facts: Mapping[str, Fact] | None = None
    core_family: str = ""

    def asked(self) -> Iterator[tuple[str, Mapping[str, Fact]]]:
        """(kernel family, facts) of every table asked: the attention core's first, if there is one."""
        if self.core_facts is not None:
            yield self.core_family or self.family, self.core_facts
        yield self.family, self.facts


def runtime_of(fw: str) -> str:
    """Stack name without its version: "trtllm-1.3.0rc20" -> "trtllm"."""
    return fw.split("-")[0] if fw else "trtllm"


def numbers(rows: pd.DataFrame, column: str, default: float = 0.0) -> FloatArray:
    """A column as float64; blanks, text and absent columns become ``default``."""
    if column not in rows:
        return np.full(len(rows), default)
    values = pd.to_numeric(rows[column], errors="coerce")
    return np.asarray(values.fillna(default), dtype=np.float64)


def text(rows: pd.DataFrame, column: str) -> pd.Series[str]:
    """A column as text; absent columns become empty text."""
    if column not in rows:
        return pd.Series([""] * len(rows), index=rows.index)
    return rows[column].fillna("").astype(str)


def canonical_format(name: str) -> str:
    """Table spellings of number formats -> profile names; an empty cell means 16 bit."""
    folded = name.strip().lower()
    return SPELLINGS.get(folded, folded)


def grouped(keys: pd.DataFrame) -> Iterator[tuple[dict[str, str], Index]]:
    """(key as text by column, row positions) of every distinct row of ``keys``, in order of appearance."""
    names = list(keys.columns)
    for index in keys.astype(str).groupby(names, sort=False).indices.values():
        first = keys.iloc[int(index[0])]
        yield {name: str(first[name]) for name in names}, np.asarray(index, dtype=np.intp)


def gpu_of(device: str) -> Gpu:
    """The GPU profile of a table's device name. ProfileError if there is none or it is no GPU."""
    profile = load_device(device)
    if not isinstance(profile, Gpu):
        raise TypeError(f"{device} is not a GPU")
    return profile


def fidelity_of(gpu: Gpu, kernel: Kernel) -> str:
    """calibrated: measured architecture and stack; derived: one of them stands in; estimated: both do."""
    measured = figures_of(gpu)["efficiencies.attention_tensor"].kind == "calibrated"
    if measured and not kernel.substituted_for:
        return "calibrated"
    return "derived" if measured or not kernel.substituted_for else "estimated"


def kernel_of(group: Group, gpu: Gpu) -> Kernel:
    """The kernel that serves a group on a GPU."""
    first, *rest = [
        load_kernels(group.runtime, family, vendor="nvidia").select(
            gpu.architecture, **{"generation": gpu.architecture, **facts}
        )
        for family, facts in group.asked()
    ]
    for kernel in rest:
        first = replace(kernel, values={**first.values, **kernel.values}, traits={**first.traits, **kernel.traits})
    return first


def predict_groups(groups: Iterable[Group], count: int) -> Prediction:
    """Prediction of ``count`` rows from their groups; rows in no group stay unsupported."""
    result = blank(count, "no model for this operator")
    for group in groups:
        try:
            gpu = gpu_of(group.device)
            kernel = kernel_of(group, gpu)
        except (ProfileError, TypeError) as error:
            result.put(group.index, _refused(group, str(error)))
            continue
        us = np.broadcast_to(np.asarray(group.seconds(gpu, kernel), dtype=np.float64) * 1e6, group.index.shape)
        result.put(group.index, supported(us, fidelity_of(gpu, kernel)))
    return result


def by_vendor(rows: pd.DataFrame, family: str, nvidia: Callable[[pd.DataFrame], Prediction]) -> Prediction:
    """Sends rows to ``nvidia`` or to the family's module of the other vendors, by the device's vendor."""
    result = blank(len(rows))
    devices = rows["device"].astype(str)
    vendor_of = {d: _vendor(d) for d in devices.unique()}
    vendors = np.array([vendor_of[d] for d in devices], dtype=object)
    for vendor in dict.fromkeys(vendors.tolist()):
        index = np.flatnonzero(vendors == vendor)
        part = rows.iloc[index].reset_index(drop=True)
        if vendor == "nvidia":
            result.put(index, nvidia(part))
        elif vendor in VENDOR_MODULES:
            result.put(index, _other_vendor(part, family, VENDOR_MODULES[vendor]))
        else:
            result.put(index, blank(len(index), f"unknown device {part['device'].iloc[0]!r}"))
    return result


def _vendor(device: str) -> str:
    try:
        return str(load_device(device).vendor)
    except ProfileError:
        return ""


def _other_vendor(rows: pd.DataFrame, family: str, suffix: str) -> Prediction:
    name = f"simulator.validation.predict.{family}_{suffix}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return blank(len(rows), f"no {family} model for this vendor")
    predicted: Prediction = module.predict(rows)
    return predicted


def _refused(group: Group, reason: str) -> Prediction:
    count = len(group.index)
    return Prediction(np.full(count, np.nan), [reason.splitlines()[0]] * count, [""] * count)
