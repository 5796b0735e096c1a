"""Predict every row of a measurement file: read the table, find its family, add the predicted columns, write it whole."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from simulator.devices.peaks import Device
from simulator.profiles import load_device
from simulator.profiles.errors import ProfileError, fail
from simulator.profiles.output import write_atomically
from simulator.study.cores import answers
from simulator.study.error_band import band_pct, device_fidelity
from simulator.validation.predict.families import FAMILIES, Family, families_of_rows, family_of
from simulator.validation.predict.prediction import Prediction, worst

# Columns that are, or give away, a measured value: never passed on to a family (avg_batch is an input of energy tables).
MEASURED = frozenset(
    "us GBps gbps latency_s throughput ttft_ms tpot_ms e2e_ms output_tok_s output_tok_s_per_dev input_tok_s_per_dev "
    "rel_spread n_meas itl_median_ms itl_p90_ms itl_p99_ms avg_power_w_total avg_power_w_per_dev energy_j_per_out_tok "
    "energy_j_per_request frac_of_cap step_time_s tokens_per_s_per_device model_tflops_per_device mfu "
    "time_to_train_min bwd_us id tag src".split()
)


PARALLEL_ROWS = 4000
"""Rows of a mixed table from which starting more processes pays off."""


class FamilyModule(Protocol):
    """A module of this package named after its family."""

    def predict(self, rows: pd.DataFrame) -> Prediction | pd.DataFrame:
        """Prediction of kernel rows, or a frame of predicted_* columns, ``unsupported`` and ``fidelity``."""


def read_table(path: Path) -> pd.DataFrame:
    """The CSV at ``path`` as text columns. ProfileError: not a readable CSV table."""
    if not path.is_file():
        raise fail(str(path), 0, "", "is not a file", allowed="a CSV table of measurements")
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise fail(str(path), 1, "", f"cannot be read as a CSV table: {error}") from None


def predict_frame(table: pd.DataFrame, file: str = "table") -> tuple[Family, pd.DataFrame]:
    """The family of ``table`` and a copy with predicted_* columns, ``fidelity`` and ``unsupported`` added, and the expected
    error ``error_band_pct`` of kernel rows.

    A table of several kernel families is predicted family by family (``families.families_of_rows``); the family returned
    is then that of most rows. Measured columns are dropped before any family sees a row. ProfileError: no family has
    these columns.
    """
    family = family_of(table.columns, file)
    if "op" not in table or not len(table) or not table.index.is_unique:
        return family, _predict(family, table)
    of_row = np.array([f.name for f in families_of_rows(table.columns, table["op"].tolist(), file)])
    parts = {f: table[of_row == f.name] for f in FAMILIES if (of_row == f.name).any()}
    if len(parts) == 1:
        family = next(iter(parts))
        return family, _predict(family, table)
    columns = ["predicted_us", "fidelity", "error_band_pct", "unsupported"]
    found = pd.concat([part[columns] for part in _predict_all(parts)])
    return max(parts, key=lambda f: len(parts[f])), table.join(found)


def _predict_all(parts: dict[Family, pd.DataFrame]) -> list[pd.DataFrame]:
    """Predictions of the parts of a mixed table, the longest first; families share nothing, so each core takes one at a time."""
    order = sorted(parts, key=lambda f: -len(parts[f]))
    tables = [_own_columns(f, parts[f]) for f in order]
    workers = len(order) if sum(map(len, tables)) >= PARALLEL_ROWS else 1
    return list(answers(_predicted, list(zip(order, tables, strict=True)), workers))


def _predicted(part: tuple[Family, pd.DataFrame]) -> pd.DataFrame:
    return _predict(*part)


def _own_columns(family: Family, part: pd.DataFrame) -> pd.DataFrame:
    """Columns of the family and those that say something: a mixed table is wide and mostly blank."""
    return part[[c for c in part.columns if c in family.columns or (part[c] != "").any()]]


def _predict(family: Family, table: pd.DataFrame) -> pd.DataFrame:
    inputs = table.drop(columns=[c for c in table.columns if c in MEASURED])
    if family.name == "energy" and "avg_batch" in table:
        inputs["avg_batch"] = table["avg_batch"]
    result = table.copy()
    try:
        module: FamilyModule = importlib.import_module(f"simulator.validation.predict.{family.name}")
    except ModuleNotFoundError as error:
        if error.name != f"simulator.validation.predict.{family.name}":
            raise
        reason = f"no predictor for {family.name} tables yet"
        return result.assign(**dict.fromkeys(family.outputs, ""), fidelity="", unsupported=reason)
    predicted = module.predict(inputs)
    if isinstance(predicted, Prediction):
        result["predicted_us"] = predicted.us
        firm, bands = _firmness(family.name, table["device"].astype(str).tolist(), predicted)
        return result.assign(fidelity=firm, error_band_pct=bands, unsupported=predicted.unsupported)
    for column in (*family.outputs, "fidelity", "unsupported"):
        result[column] = predicted[column].to_numpy()
    return result


def _firmness(family: str, devices: list[str], predicted: Prediction) -> tuple[list[str], list[float]]:
    """(fidelity, error band in percent) of each row: no firmer than what rows of the family there are of its device."""
    known: dict[str, Device | None] = {}
    for name in dict.fromkeys(devices):
        try:
            known[name] = load_device(name)
        except ProfileError:
            known[name] = None  # unsupported anyway
    firm, bands = [], []
    for name, stack, us in zip(devices, predicted.fidelity, predicted.us.tolist(), strict=True):
        device = known[name]
        if device is None or not stack:
            firm.append(stack)
            bands.append(math.nan)
        else:
            firm.append(worst(stack, device_fidelity(family, device)))
            bands.append(round(band_pct(family, device, stack, us * 1e-6), 1))
    return firm, bands


def predict_file(source: Path, target: Path) -> dict[str, int]:
    """Predict every row of ``source`` into ``target`` (written whole or not at all); counts of rows by outcome."""
    table = read_table(source)
    _, result = predict_frame(table, str(source))
    unsupported = int((result["unsupported"] != "").sum())
    text = result.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_atomically(target, text)
    return {"rows": len(result), "predicted": len(result) - unsupported, "unsupported": unsupported}
