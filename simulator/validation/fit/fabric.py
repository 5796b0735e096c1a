"""Calibrates collectives and expert exchanges on the rows of a measurement folder.

Hardware: start and hop latency of each NVLink generation (shared by all libraries). Stack: the values of NCCL, of the
frameworks' own all-reduce kernels and of DeepEP. Rows that contradict their neighbours are left out of the fit only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from simulator.fabric.stack import CommStack
from simulator.profiles import kernel_file, kernel_library, list_names, load_system
from simulator.validation.fit import places
from simulator.validation.fit.places import Key, calibrated_keys, files_behind, path_of
from simulator.validation.fit.trial import Observed, Trial, fabric_of, fit
from simulator.validation.predict import collectives, deepep

TIERS = ("nvlink",)
# neighbouring sizes of one series that rise and fall again by more than this factor mark the middle row as suspect
SPIKE = 1.4
# weight of a stack's rows: DeepEP's own ten are all there is beyond 32 ranks, and its authors' figures
WEIGHTS = {"deepep-v1": 20.0}
NCCL_FILES = ("nccl/collectives", "nccl/point_to_point", "trtllm/collectives", "sglang/collectives", "vllm/collectives")
STEP_FILE = "vidur/collectives"
STEP_PROTOCOL = "send_recv"
EXCHANGE_FILES = ("deepep/deepep", "deepep/expert_low_latency", "trtllm/deepep", "cann/deepep")


def spikes(rows: pd.DataFrame, by: list[str], size: str) -> np.ndarray:
    """True for rows that take SPIKE times longer than both neighbours of their series along ``size``."""
    out = np.zeros(len(rows), dtype=bool)
    x, us = pd.to_numeric(rows[size]).to_numpy(), pd.to_numeric(rows["us"]).to_numpy()
    for _, group in rows.reset_index(drop=True).groupby(by, sort=False):
        index = group.index.to_numpy(dtype=np.intp)
        order = index[np.argsort(x[index], kind="stable")].tolist()
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            out[here] = us[here] > SPIKE * max(us[before], us[after])
    return out


def observed_collectives(rows: pd.DataFrame) -> list[Observed]:
    """One Observed per device, stack, operation and rank count."""
    return _observed(rows, collectives.KEYS, lambda key, g: collectives.case_of(key, _numbers(g["bytes"])))


def observed_exchanges(rows: pd.DataFrame) -> list[Observed]:
    """One Observed per device, stack and routing."""
    return _observed(rows, deepep.KEYS, lambda key, g: deepep.case_of(key, _numbers(g["tokens"]), _numbers(g["sms"])))


Case = collectives.Case | deepep.Case


def _observed(
    rows: pd.DataFrame, keys: list[str], make: Callable[[Mapping[str, object], pd.DataFrame], Case]
) -> list[Observed]:
    found = []
    for key, group in rows.reset_index(drop=True).groupby(keys, sort=False, dropna=False):
        case = make(dict(zip(keys, key, strict=True)), group)
        uses = frozenset({fabric_of(case.system)}).union(*map(files_behind, case.stack.tables))
        weight = WEIGHTS.get(str(group["fw"].iloc[0]), 1.0)
        found.append(Observed(_predictor(case), _numbers(group["us"]) * 1e-6, uses, weight))
    return found


def _predictor(case: Case) -> Callable[[Trial], np.ndarray]:
    def predict(trial: Trial) -> np.ndarray:
        return replace(case, stack=_stack(case.stack, trial), system=trial.system(case.system)).seconds()

    return predict


def _stack(stack: CommStack, trial: Trial) -> CommStack:
    own = None if stack.own is None else trial.table(stack.own)
    beside = tuple(map(trial.table, stack.beside))
    return replace(stack, library=trial.table(stack.library), own=own, beside=beside)


def tier_keys(devices: Iterable[str]) -> dict[Key, float]:
    """Start and hop latency of the scale-up tiers of the systems of ``devices``."""
    found = {}
    for system in (load_system(n) for n in list_names("system")):
        if system.device not in set(devices) or system.vendor != "nvidia":
            continue
        for name in TIERS:
            if name in system.tiers:
                for field in ("start", "latency"):
                    found[Key(fabric_of(system), -1, name, field)] = getattr(system.tiers[name], field)
    return found


def read(folder: Path, family: str) -> pd.DataFrame:
    """Rows of one family that a fit may use."""
    rows = pd.read_csv(folder / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
    if family == "collectives":
        keep = ~spikes(rows, ["device", "op", "fw", "gpus", "nodes"], "bytes")
        return rows[keep | rows["fw"].eq("vidur").to_numpy()].reset_index(drop=True)
    if family == "deepep":
        # between two nodes 12 SMs dispatch at half of the rate that 4 and 24 SMs of the same run agree on
        odd = rows["kernel"].eq("deepep_normal") & rows["nodes"].eq("2") & rows["sms"].eq("12")
        return rows[~(odd & rows["op"].eq("deepep_dispatch"))].reset_index(drop=True)
    return rows.reset_index(drop=True)


def fit_nccl(rows: pd.DataFrame, evaluations: int = 20) -> dict[Key, float]:
    """Values of NCCL and of the frameworks' kernels, and the latencies of each link generation."""
    own = rows[~rows["fw"].eq("vidur") & ~rows["kernel"].eq("llmcompass")]
    start = {k: v for f in NCCL_FILES for k, v in calibrated_keys(f).items() if not _only_in_steps(k)}
    return fit(observed_collectives(own), start | tier_keys(set(own["device"])), evaluations=evaluations)


def fit_in_step(rows: pd.DataFrame, evaluations: int = 20) -> dict[Key, float]:
    """Values seen only inside a running step: waiting for the slowest rank, send/recv."""
    own = rows[rows["fw"].eq("vidur")]
    start = calibrated_keys(STEP_FILE)
    start |= {k: v for f in NCCL_FILES for k, v in calibrated_keys(f).items() if _only_in_steps(k)}
    return fit(observed_collectives(own), start, evaluations=evaluations)


def _only_in_steps(key: Key) -> bool:
    """Whether a figure belongs to a protocol that only rows from inside a step show."""
    if key.file.startswith(kernel_library.KIND_FOLDER):
        return False
    return STEP_PROTOCOL in kernel_file.entries(path_of(key.file))[key.entry].match.get("protocol", ())


def fit_exchanges(
    rows: pd.DataFrame, files: tuple[str, ...] = EXCHANGE_FILES, evaluations: int = 12
) -> dict[Key, float]:
    """Values of the exchange stacks."""
    start = {k: v for f in files for k, v in calibrated_keys(f).items()}
    return fit(observed_exchanges(rows), start, evaluations=evaluations)


def write(values: Mapping[Key, float], rows: Mapping[Key, int] | int) -> int:
    """Write stack values into their files; returns how many figures changed (see ``tiers_in`` for latencies)."""
    return places.write({k: v for k, v in values.items() if k.entry >= 0}, rows)


def tiers_in(values: Mapping[Key, float]) -> dict[Key, float]:
    """The fitted tier latencies among ``values``."""
    return {k: v for k, v in values.items() if k.entry < 0}


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").fillna(0.0).to_numpy(dtype=np.float64)
