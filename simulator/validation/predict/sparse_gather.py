"""Gathers, scatters and expert routing: rows of sparse_gather tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from simulator.ops.work import Gather, Term
from simulator.validation.predict.generic_gpu import predict_gpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.other_vendors import with_other_vendors
from simulator.validation.predict.prediction import Prediction
from simulator.validation.predict.vector_traffic import element_bytes


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row. Columns: device, unit, op, dtype, src_rows, rows, cols, topk, extra, fw, kernel."""
    return with_other_vendors(rows, "sparse_gather", lambda part: predict_gpu(part, _gather))


def _gather(key: Mapping[str, str], rows: pd.DataFrame) -> Term:
    return Gather(number(rows, "rows", 1.0), number(rows, "cols", 1.0) * element_bytes(key["dtype"]), key["op"])
