"""Which unit of the device a predicted kernel row was bound by, for the families whose core model records it."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.fabric.collectives import collective_cost
from simulator.fabric.topology import place
from simulator.profiles import ProfileError
from simulator.validation.predict import collectives, elementwise
from simulator.validation.predict.table import MEASURED

UNKNOWN = ""


def bounds(family: str, rows: pd.DataFrame) -> list[str]:
    """Name of the busiest unit of each row ("tensor", "hbm", "launch" ...); "" where the model does not record it."""
    inputs = rows.drop(columns=[c for c in rows.columns if c in MEASURED]).reset_index(drop=True)
    find = FINDERS.get(family)
    found = [UNKNOWN] * len(inputs)
    for position in range(len(inputs)) if find else ():
        one = inputs.iloc[[position]].reset_index(drop=True)
        try:
            found[position] = find(family, one) if find else UNKNOWN
        except (ProfileError, ValueError, KeyError, TypeError):
            continue
    return [UNKNOWN if b == "none" else b for b in found]


def _matrix(family: str, row: pd.DataFrame) -> str:
    module = importlib.import_module(f"simulator.validation.predict.{family}")
    groups, _ = module.groups(row)
    cost = groups[0].cost(groups[0].gpu, groups[0].kernel()) if groups else None
    return UNKNOWN if cost is None else str(np.ravel(cost.bound())[0])


def _vector(_family: str, row: pd.DataFrame) -> str:
    table = elementwise.prepared(row)
    key = {k: table[k].iloc[0] for k in elementwise.KEYS}
    case = elementwise.case_of(key, _numbers(table, "rows"), _numbers(table, "cols"))
    return str(np.ravel(case.cost().bound())[0])


def _collective(_family: str, row: pd.DataFrame) -> str:
    case = collectives.case_of({k: row[k].iloc[0] for k in collectives.KEYS}, _numbers(row, "bytes"))
    span = place(case.system, case.term.ranks, case.domains, cores=case.cores, sharing=case.sharing)
    return str(np.ravel(collective_cost(case.term, case.system, span, case.stack).bound())[0])


def _numbers(table: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table[name].astype(float), dtype=np.float64)


FINDERS: dict[str, Callable[[str, pd.DataFrame], str]] = {
    "gemm": _matrix,
    "grouped_gemm": _matrix,
    "moe": _matrix,
    "elementwise": _vector,
    "collectives": _collective,
}
