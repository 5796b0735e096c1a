"""Sparse attention over selected keys, its indexer, and V4's compressed-attention modules on TPU and Ascend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from simulator.devices.ascend import index_scores_cost as ascend_scores
from simulator.devices.ascend import selected_attention_cost as ascend_selected
from simulator.devices.tpu import index_scores_cost as tpu_scores
from simulator.devices.tpu import selected_attention_cost as tpu_selected
from simulator.ops.work import Attention, IndexScores
from simulator.profiles import Kernel
from simulator.profiles.tpu import Tpu
from simulator.validation.predict.gpu_rows import number
from simulator.validation.predict.prediction import FloatArray, Prediction
from simulator.validation.predict.tpu_ascend import (
    BUNDLED,
    Device,
    Group,
    Hardware,
    Seconds,
    classes,
    predict_groups,
    stack_of,
)

LATENT, ROPE = 512, 64
INDEX_DIM = 128  # width of an index key
WINDOW = 128  # most recent tokens a V4 query attends besides the selected compressed entries
OPS = ("dsa_attn", "dsv4_csa_attn", "dsv4_indexer_topk", "dsv4_csa_module_decode")


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each row.

    Columns: device, unit, op, dtype, batch, q_len, past_len, heads, idx_heads, topk, compress, fw, kernel.
    """
    return predict_groups(groups(rows), len(rows))


def groups(rows: pd.DataFrame, hardware: Hardware = BUNDLED) -> Iterator[Group]:
    """Groups of rows by device, operator, stack, kernel and format."""
    for key, index, part in classes(rows, "device", "unit", "op", "fw", "kernel", "dtype", "compress"):
        if key["op"] not in OPS:
            continue
        facts = {"op": key["op"], "kernel": key["kernel"]}
        group = Group(
            index,
            key["device"],
            key["unit"],
            stack_of(key["fw"]),
            "dsa",
            facts,
            _part(part, key["op"], key["compress"]),
        )
        if key["op"] == "dsv4_csa_module_decode":
            group = replace(group, seconds=_module(part, key["compress"], group, hardware))
        yield group


def _part(rows: pd.DataFrame, op: str, compress: str) -> Seconds:
    """The indexer or the attention over selected keys."""
    per_entry = max(1.0, float(compress or 1))
    batch, q = number(rows, "batch", 1.0), number(rows, "q_len", 1.0)
    visible = np.ceil((number(rows, "past_len", 0.0) + q) / per_entry)
    if op == "dsv4_indexer_topk":
        scores = IndexScores(
            batch, q, visible, number(rows, "idx_heads", 64.0), INDEX_DIM, INDEX_DIM + 4.0, causal=False, rate="int8"
        )

        def index(device: Device, kernel: Kernel) -> FloatArray:
            if isinstance(device, Tpu):
                return np.asarray(tpu_scores(scores, device, kernel).seconds, dtype=np.float64)
            return np.asarray(ascend_scores(scores, device, kernel).seconds, dtype=np.float64)

        return index
    selected = np.minimum(number(rows, "topk", 2048.0), visible) + (WINDOW if per_entry > 1 else 0.0)
    width = LATENT if op.startswith("dsv4") else LATENT + ROPE
    term = Attention(batch, q, selected, number(rows, "heads", 128.0), 1, width, LATENT, kv_shared=True, selected=True)
    pool = batch * visible * width * 2.0

    def attend(device: Device, kernel: Kernel) -> FloatArray:
        if isinstance(device, Tpu):
            return np.asarray(tpu_selected(term, device, kernel).seconds, dtype=np.float64)
        return np.asarray(ascend_selected(term, device, kernel, pool).seconds, dtype=np.float64)

    return attend


def _module(rows: pd.DataFrame, compress: str, group: Group, hardware: Hardware) -> Seconds:
    """Attention half of a decode layer: indexer, attention, and the small kernels around them."""
    parts = [
        (replace(group, facts={**group.facts, "op": op}, stack=""), _part(rows, op, compress))
        for op in ("dsv4_indexer_topk", "dsv4_csa_attn")
    ]
    tokens = number(rows, "batch", 1.0) * number(rows, "q_len", 1.0)

    def seconds(device: Device, kernel: Kernel) -> FloatArray:
        inner = sum((cost(device, hardware.kernel(part, device)) for part, cost in parts), start=np.zeros(len(tokens)))
        around = kernel.values.get("module_start", 0.0) + tokens * kernel.values.get("module_token", 0.0)
        return np.asarray(inner + around, dtype=np.float64)

    return seconds
