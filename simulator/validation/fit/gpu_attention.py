"""Calibrates GPU attention kernels: attention, MLA and sparse-attention rows of a measurement folder, jointly.

    python -m simulator.validation.fit.gpu_attention MEASUREMENTS [--family mla ...] [--held-out] [--write]

Efficiencies of an architecture are shared by all families and stacks; each stack keeps a few values of its own. Rows
that look defective against their twins on a sister device are left out of the fit, never of the prediction.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import kernel_library
from simulator.profiles.kernels import Fact, KernelTable, load_kernels
from simulator.validation.fit import places
from simulator.validation.fit.group_fit import Case, Fit, Prior, rows_per_key
from simulator.validation.fit.places import Key, slots
from simulator.validation.predict import attention, dsa, mla
from simulator.validation.predict.gpu_groups import Group, gpu_of, kernel_of

US = 1e-6
EFFICIENCIES: Mapping[str, Prior] = {
    "attention_tensor": Prior(0.3, 1.0, 0.7, 0.3),
    "exposed_exponential": Prior(0.02, 1.0, 0.3, 0.5),
    "kv_stream": Prior(0.6, 0.98, 0.93, 0.04),
    "l2_read": Prior(10.0, 64.0, 37.0, 0.3),
    "attention_overlap": Prior(2.0, 8.0, 4.0, 0.3),
    "block_stream": Prior(10.0, 300.0, 35.0, 0.4),
    "split_combine": Prior(0.5 * US, 20 * US, 5 * US, 0.5),
}
VALUES: Mapping[str, Prior] = {
    "launch_floor": Prior(0.5 * US, 400 * US, 8 * US, 2.0),
    "cast_launch": Prior(0.2 * US, 10 * US, 2 * US, 1.0),
    "block_fixed": Prior(0.2 * US, 40 * US, 3 * US, 1.5),
    "tensor_ratio": Prior(0.2, 2.0, 1.0, 0.25),
    "stream_ratio": Prior(0.1, 8.0, 1.0, 0.8),
    "side_bytes": Prior(0.01, 60.0, 3.0, 1.0),
    "gather_stream": Prior(4.0, 80.0, 20.0, 0.4),
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
    "token_block": Prior(0.05 * US, 200 * US, 10 * US, 1.5),
    "host_quantise": Prior(1 * US, 600 * US, 60 * US, 2.0),
    "host_indexer": Prior(10 * US, 6000 * US, 500 * US, 2.0),
    "host_long": Prior(10 * US, 6000 * US, 500 * US, 2.0),
    "host_request": Prior(0.1 * US, 60 * US, 10 * US, 2.0),
    "long_floor": Prior(0.1 * US, 300 * US, 10 * US, 1.5),
    "score_ops": Prior(0.02, 4.0, 0.5, 1.0),
    "row_pair": Prior(0.01 * US, 20 * US, 0.3 * US, 2.0),
    "row_short": Prior(0.05 * US, 20 * US, 1.5 * US, 1.5),
    "row_fixed": Prior(0.05 * US, 40 * US, 3 * US, 1.5),
    "scan_rate": Prior(1.0, 200.0, 16.0, 1.0),
    "rows_per_sm": Prior(0.5, 8.0, 1.4, 0.7),
}
# single rows that contradict the same shape on a sister device or their neighbours in the table
OUTLIERS = frozenset("mlf458c443 mle81ee901 ml8ae2f807 ml84055f97 ds00fe17f6 at0dc6c78b".split())
SISTERS = ("h100-sxm", "h200-sxm", "b200-sxm", "gb200")  # each is predicted from a fit without its rows
FOLDS = 3
FAMILIES: Mapping[str, Callable[[pd.DataFrame], Iterator[Group]]] = {
    "attention": attention.gpu_groups,
    "mla": mla.gpu_groups,
    "dsa": dsa.gpu_groups,
}
LIBRARY_FAMILIES = frozenset({"attention", "mla", "dsa", "indexer"})


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
    return out | rows["id"].isin(OUTLIERS).to_numpy()


Pick = Callable[[Table], npt.NDArray[np.bool_]]


def cases(tables: Sequence[Table], use: Pick) -> list[Case]:
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
    keys: dict[str, Key] = {}
    served = set()
    for family, facts in group.asked():
        table = load_kernels(group.runtime, family, vendor="nvidia")
        number = _serving(table, gpu.architecture, facts)
        keys |= _keys(table, number, gpu.architecture)
        served.add((f"{table.runtime}/{table.family}", number))
    shared = {n: Key(gpu.architecture, -1, "", n) for n in EFFICIENCIES}
    return Case(group, gpu, kernel, keys, shared, us * US, frozenset(served))


def _serving(table: KernelTable, architecture: str, facts: Mapping[str, Fact]) -> int:
    """The entry that serves ``facts``."""
    written = {k: str(v) for k, v in {"generation": architecture, **facts}.items() if v is not None}
    return next(i for i, e in enumerate(table.entries) if e.serves(written))


def _keys(table: KernelTable, number: int, architecture: str) -> dict[str, Key]:
    """Where the fitted values of an entry are written; one that several kernels share, where it is named first."""
    entry, known = table.entries[number], slots(f"{table.runtime}/{table.family}")
    own = entry.architectures.get(architecture)
    places = {n: "" for n in entry.values} | {n: architecture for n in (own.values if own is not None else ())}
    found = {n: known.get((number, override, n)) for n, override in places.items() if n in VALUES}
    return {n: key for n, key in found.items() if key is not None and _fitted_here(key)}


def _fitted_here(key: Key) -> bool:
    """False for a library's figure of another family: rows of products, not of attention, say how fast cuBLAS steps."""
    return not key.file.startswith(kernel_library.KIND_FOLDER) or key.override in LIBRARY_FAMILIES


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
    counts, values = rows_per_key(problem.cases), problem.values()
    return places.write({k: values[k] for k in problem.keys}, counts)


def _of_device(device: str) -> Pick:
    return lambda t: (t.rows["device"] == device).to_numpy()


def _of_fold(fold: int) -> Pick:
    return lambda t: np.random.default_rng(0).integers(0, FOLDS, len(t.us)) == fold


def _unseen(tables: Sequence[Table], test: Pick, frozen: frozenset[str], evaluations: int) -> pd.DataFrame:
    """Errors on the rows ``test`` picks, fitted on the other sound rows."""
    without = fit(cases(tables, lambda t: t.keep & ~test(t)), evaluations, frozen)
    return errors(cases(tables, test), without.values())


def held_out(tables: Sequence[Table], frozen: frozenset[str], evaluations: int) -> list[str]:
    """Lines of errors on rows the fit did not see: each sister device left out, then folds of rows."""
    devices = pd.concat([_unseen(tables, _of_device(d), frozen, evaluations) for d in SISTERS])
    rows = pd.concat([_unseen(tables, _of_fold(f), frozen, evaluations) for f in range(FOLDS)])
    return [
        "device left out",
        summary(devices, ("family", "op")).to_string(),
        summary(devices, ("family", "device")).to_string(),
        f"{FOLDS} folds of rows",
        summary(rows, ("family", "op")).to_string(),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when done."""
    parser = argparse.ArgumentParser(description="Fit the GPU attention models on a folder of measurements.")
    parser.add_argument("measurements", type=Path)
    parser.add_argument("--family", action="append", choices=tuple(FAMILIES), default=None)
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--keep-efficiencies", action="store_true", help="fit stack values only")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args(arguments)
    tables = read(args.measurements, args.family or tuple(FAMILIES))
    frozen = frozenset(EFFICIENCIES) if args.keep_efficiencies else frozenset()
    everything = cases(tables, lambda t: t.us > 0)
    found = fit(cases(tables, lambda t: t.keep), args.evaluations, frozen)
    lines = ["before", summary(errors(everything, {}), ("family", "op")).to_string(), "after"]
    lines += [
        summary(errors(everything, found.values()), by).to_string() for by in (("family", "op"), ("family", "device"))
    ]
    if args.held_out:
        lines += held_out(tables, frozen, args.evaluations)
    if args.write:
        lines.append(f"{write(found)} figures written")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
