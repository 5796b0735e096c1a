"""Transfers between two devices or their hosts over one route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simulator.fabric.link import Route, route_of, transfer_seconds
from simulator.profiles import KernelTable, ProfileError, load_device, load_kernels
from simulator.validation.predict.prediction import Prediction, blank, supported
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.systems import system_for

KEYS = ["device", "scope", "transport", "direction", "fw", "kernel"]


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each transfer."""
    out = blank(len(rows))
    table = rows.reset_index(drop=True)
    for column in KEYS:
        if column not in table:
            table[column] = ""
    for key, group in table.groupby(KEYS, sort=False, dropna=False):
        index = group.index.to_numpy(dtype=np.intp)
        try:
            part = _group(dict(zip(KEYS, map(str, key), strict=True)), group)
        except (ValueError, KeyError, ProfileError) as error:
            part = blank(len(index), str(error).strip("'\""))
        out.put(index, part)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Transfers over one route by one software path. block, total: bytes of each."""

    table: KernelTable
    architecture: str
    facts: Mapping[str, str]
    route: Route
    block: np.ndarray
    total: np.ndarray

    def seconds(self) -> np.ndarray:
        """Time of each transfer."""
        kernel = self.table.select(self.architecture, **self.facts)
        return np.asarray(transfer_seconds(self.block, self.total, self.route, kernel.values), dtype=np.float64)


def case_of(key: Mapping[str, str], rows: pd.DataFrame) -> Case:
    """The transfers of ``rows``, which share the columns KEYS. ProfileError, ValueError, KeyError: not a route we know."""
    device = load_device(key["device"])
    system = system_for(key["device"], 1)
    route = route_of(system, key["scope"], key["transport"], key["direction"])
    table = load_kernels(runtime_of(key["fw"]), "link", device.vendor)
    facts = {"path": key["kernel"], "transport": key["transport"], "scope": key["scope"]}
    facts["topology"] = system.scale_up.topology
    return Case(table, device.architecture, facts, route, _numbers(rows["block_bytes"]), _numbers(rows["total_bytes"]))


def _group(key: dict[str, str], rows: pd.DataFrame) -> Prediction:
    case = case_of(key, rows)
    firm = case.route.known and not case.table.substituted_for
    return supported(case.seconds() * 1e6, "calibrated" if firm else "estimated")


def _numbers(column: pd.Series[Any]) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
