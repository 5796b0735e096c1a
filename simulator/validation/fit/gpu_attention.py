"""Calibrates GPU attention kernels: attention, MLA and sparse-attention rows of a measurement folder, jointly.

Efficiencies of an architecture are shared by all families and stacks; each stack keeps a few values of its own. Rows
that look defective against their twins on a sister device are left out of the fit, never of the prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import search
from simulator.profiles.kernels import Fact, KernelTable, load_kernels
from simulator.validation.fit.group_fit import Case, Fit, Key, Prior, rows_per_key
from simulator.validation.fit.kernel_yaml import Fitted, rewrite_efficiencies, rewrite_kernels
from simulator.validation.predict import attention, dsa, mla
from simulator.validation.predict.gpu_groups import Group, gpu_of, kernel_of

US = 1e-6
EFFICIENCIES: Mapping[str, Prior] = {
    "attention_tensor": Prior(0.3, 1.0, 0.7, 0.3),
    "exposed_exponential": Prior(0.02, 1.0, 0.3, 0.5),
    "kv_stream": Prior(0.6, 0.98, 0.93, 0.04),
    "l2_to_hbm_rate": Prior(1.2, 6.0, 2.5, 0.3),
    "attention_overlap": Prior(2.0, 8.0, 4.0, 0.3),
    "block_stream": Prior(10.0, 300.0, 35.0, 0.4),
    "split_combine": Prior(0.5 * US, 20 * US, 5 * US, 0.5),
}
VALUES: Mapping[str, Prior] = {
    "launch_floor": Prior(0.5 * US, 400 * US, 8 * US, 2.0),
    "block_fixed": Prior(0.2 * US, 40 * US, 3 * US, 1.5),
    "tensor_ratio": Prior(0.2, 2.0, 1.0, 0.25),
    "stream_ratio": Prior(0.1, 8.0, 1.0, 0.8),
    "side_bytes": Prior(0.01, 60.0, 3.0, 1.0),
    "gather_rate": Prior(0.05, 1.0, 0.6, 0.7),
    "request_fixed": Prior(0.01 * US, 10 * US, 1 * US, 2.0),
    "cast_bytes": Prior(0.01, 60.0, 3.0, 1.5),
    "eight_bit_gain": Prior(0.02, 1.5, 0.3, 0.7),
    "window_tiles": Prior(0.01, 8.0, 1.0, 1.0),
    "step_latency": Prior(0.005 * US, 1.0 * US, 0.05 * US, 1.0),
    "quantize_start": Prior(0.1 * US, 30 * US, 3 * US, 1.0),
    "quantize_rate": Prior(0.05, 60.0, 2.0, 1.5),
    "tensor_share": Prior(0.2, 1.3, 1.0, 0.3),
    "memory_share": Prior(0.2, 1.5, 1.0, 0.3),
    "module_floor": Prior(1 * US, 400 * US, 30 * US, 1.5),
    "activation_bytes": Prior(0.1, 40.0, 4.0, 1.0),
    "concat_bytes": Prior(0.01, 8.0, 1.0, 1.5),
    "launch_share": Prior(0.05, 1.2, 0.7, 0.5),
    "idle_slot": Prior(0.02, 1.0, 0.7, 1.0),
    "host_floor": Prior(10 * US, 6000 * US, 500 * US, 2.0),
    "host_long": Prior(10 * US, 6000 * US, 500 * US, 2.0),
    "host_request": Prior(0.1 * US, 60 * US, 10 * US, 2.0),
    "long_floor": Prior(0.1 * US, 300 * US, 10 * US, 1.5),
    "score_ops": Prior(0.02, 4.0, 0.5, 1.0),
    "row_pair": Prior(0.01 * US, 20 * US, 0.3 * US, 2.0),
    "row_short": Prior(0.05 * US, 20 * US, 1.5 * US, 1.5),
    "row_fixed": Prior(0.05 * US, 40 * US, 3 * US, 1.5),
    "scan_rate": Prior(0.02, 20.0, 0.5, 1.5),
    "rows_per_sm": Prior(0.5, 8.0, 1.4, 0.7),
}
FAMILIES: Mapping[str, Callable[[pd.DataFrame], Iterator[Group]]] = {
    "attention": attention.gpu_groups,
    "mla": mla.gpu_groups,
    "dsa": dsa.gpu_groups,
}


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """NVIDIA rows of one family with measured microseconds; ``keep`` marks rows fit for calibration."""

    family: str
    rows: pd.DataFrame
    us: npt.NDArray[np.float64]
    keep: npt.NDArray[np.bool_]


def read(folder: Path, families: Iterable[str] = tuple(FAMILIES)) -> list[Table]:
    """The kernel tables of ``folder`` that this fit uses."""
    tables = []
    for family in families:
        rows = pd.read_csv(folder / "kernels" / f"{family}.csv", dtype=str, keep_default_na=False)
        rows = rows[~rows["device"].str.match("tpu|ascend")].reset_index(drop=True)
        us = pd.to_numeric(rows["us"]).to_numpy(dtype=np.float64)
        tables.append(Table(family, rows.drop(columns=["us"]), us, ~suspect(family, rows)))
    return tables


def suspect(family: str, rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Rows that contradict their twins on a sister device (see facts/modelling, defective rules)."""
    us = pd.to_numeric(rows["us"])
    out = np.zeros(len(rows), dtype=bool)
    if family == "mla":
        prefill = rows["op"].eq("mla_module_prefill") & rows["device"].eq("gb200")
        trtllm = rows["fw"].str.startswith("trtllm") & rows["kv_dtype"].eq("bfloat16") & us.gt(30000)
        vllm = rows["fw"].str.startswith("vllm") & ~rows["kernel"].eq("FLASHINFER_MLA")
        out |= (prefill & (vllm | trtllm)).to_numpy()
    if family == "dsa":
        out |= rows["id"].eq("ds00fe17f6").to_numpy() if "id" in rows else False
    return out


def cases(tables: Sequence[Table], use: Callable[[Table], npt.NDArray[np.bool_]]) -> list[Case]:
    """Fit cases of the rows that ``use`` selects."""
    found = []
    for table in tables:
        index = np.flatnonzero(use(table))
        part = table.rows.iloc[index].reset_index(drop=True)
        for group in FAMILIES[table.family](part):
            found.append(_case(group, table.us[index][group.index]))
    return found


def _case(group: Group, us: npt.NDArray[np.float64]) -> Case:
    gpu = gpu_of(group.device)
    kernel = kernel_of(group, gpu)
    table = load_kernels(group.runtime, group.family, vendor="nvidia")
    keys: dict[str, Key] = {}
    for facts in (group.core_facts, group.facts):
        keys |= _keys(table, gpu.architecture, facts) if facts is not None else {}
    shared = {n: Key(gpu.architecture, -1, "", n) for n in EFFICIENCIES}
    return Case(group, gpu, kernel, keys, shared, us * US)


def _keys(table: KernelTable, architecture: str, facts: Mapping[str, Fact]) -> dict[str, Key]:
    """Where the values of the entry that serves ``facts`` are written."""
    written = {k: str(v) for k, v in {"generation": architecture, **facts}.items() if v is not None}
    number = next(i for i, e in enumerate(table.entries) if e.serves(written))
    entry, file = table.entries[number], f"{table.runtime}/{table.family}"
    own = entry.architectures.get(architecture)
    keys = {n: Key(file, number, "", n) for n in entry.values if n in VALUES}
    if own is not None:
        keys |= {n: Key(file, number, architecture, n) for n in own.values if n in VALUES}
    return keys


def fit(found: Sequence[Case], evaluations: int = 20, frozen: frozenset[str] = frozenset()) -> Fit:
    """Fits every parameter the cases use; names in ``frozen`` keep their present value."""
    priors: dict[Key, Prior] = {}
    start: dict[Key, float] = {}
    for case in found:
        for name, key in case.keys.items():
            priors[key], start[key] = VALUES[name], case.kernel.values[name]
        for name, key in case.efficiencies.items():
            priors[key], start[key] = EFFICIENCIES[name], getattr(case.gpu.efficiencies, name)
    kept = {k: p for k, p in priors.items() if k.name not in frozen}
    problem = Fit(found, kept, start)
    problem.run(evaluations)
    return problem


def errors(found: Sequence[Case], values: Mapping[Key, float]) -> pd.DataFrame:
    """One line a row: device, family, runtime, phase, measured and predicted microseconds."""
    parts = []
    for case in found:
        g = case.group
        part = pd.DataFrame({"us": case.seconds / US, "predicted": case.predict(values) / US})
        parts.append(part.assign(device=g.device, family=g.family, runtime=g.runtime, op=str(g.facts.get("phase", ""))))
    return pd.concat(parts, ignore_index=True)


def summary(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Median and 90th percentile absolute percentage error, bias and rows by columns ``by``."""
    frame = table.assign(ape=100 * (table.predicted / table.us - 1).abs(), log=100 * np.log(table.predicted / table.us))
    grouped = frame.groupby(list(by))
    return pd.DataFrame(
        {
            "rows": grouped.size(),
            "median": grouped.ape.median(),
            "p90": grouped.ape.quantile(0.9),
            "bias": grouped["log"].median(),
        }
    ).round(1)


def write(problem: Fit) -> int:
    """Writes the fitted values into the profile and runtime files; returns how many figures changed."""
    counts, values, written = rows_per_key(problem.cases), problem.values(), 0
    for file in sorted({k.file for k in problem.keys}):
        mine = {k: Fitted(values[k], counts.get(k, 0)) for k in problem.keys if k.file == file}
        if "/" in file:
            path = next(p for f in search.folders("runtime") if (p := f / f"{file}.yaml").is_file())
            written += rewrite_kernels(path, {(k.entry, k.override, k.name): v for k, v in mine.items()})
        else:
            folder = next(f for f in search.folders("device") if (f / "gpu").is_dir() or f.name == "gpu")
            stem = file.replace("_", "-")
            path = next(
                p
                for p in (folder / "gpu" / "architectures" / f"{stem}.yaml", folder / "architectures" / f"{stem}.yaml")
                if p.is_file()
            )
            written += rewrite_efficiencies(path, {k.name: v for k, v in mine.items()})
    return written
