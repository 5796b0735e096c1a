"""Copies inside device memory: rows of memcpy tables, whose ``bytes`` are read once and written once."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from simulator.ops.work import Elementwise, Term
from simulator.validation.predict.generic_gpu import predict_gpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.other_vendors import with_other_vendors
from simulator.validation.predict.prediction import Prediction

VECTOR_BYTES = 16.0  # a copy moves 16 bytes per thread and instruction


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row. Columns: device, unit, op, dtype, bytes, fw, kernel, mode."""
    return with_other_vendors(rows, "memcpy", lambda part: predict_gpu(part, _copy))


def _copy(key: Mapping[str, str], rows: pd.DataFrame) -> Term:
    size = number(rows, "bytes", 0.0)
    return Elementwise("copy", 1, size / VECTOR_BYTES, size, size)
