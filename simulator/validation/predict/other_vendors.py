"""Splits a table by vendor: NVIDIA rows to the GPU model, the rest to ``<family>_tpu_ascend`` when there is one."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from simulator.validation.predict.prediction import Prediction, blank

Predict = Callable[[pd.DataFrame], Prediction]


def _is_other(device: str) -> bool:
    return device.startswith(("tpu", "ascend"))


def with_other_vendors(rows: pd.DataFrame, family: str, gpu: Predict) -> Prediction:
    """``gpu`` on the NVIDIA rows of ``rows``, the family's TPU and Ascend module on the others, in row order."""
    other = rows["device"].astype(str).map(_is_other).to_numpy(dtype=bool)
    result = blank(len(rows))
    if not other.all():
        result.put(np.flatnonzero(~other), gpu(rows[~other]))
    if other.any():
        result.put(np.flatnonzero(other), _other(family)(rows[other]))
    return result


def _other(family: str) -> Predict:
    name = f"simulator.validation.predict.{family}_tpu_ascend"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return lambda rows: blank(len(rows), f"no {family} model for TPU and Ascend yet")
    found: Predict = module.predict
    return found
