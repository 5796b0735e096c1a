"""A table of several kernel families is predicted row by row as each family's own table would be."""

from __future__ import annotations

import pandas as pd
import pytest

from simulator.validation.predict.families import families_of_rows, family_of
from simulator.validation.predict.table import predict_frame

COMMON = {"device": "h100-sxm", "dtype": "bfloat16", "mode": "graph", "unit": "chip", "kernel": "", "note": ""}
GEMM = COMMON | {"op": "gemm", "m": "4096", "n": "4096", "k": "4096", "fw": "trtllm-1.3.0rc20", "kernel": "torch_flow"}
ATTENTION = COMMON | {
    "op": "attention_decode_gqa", "kv_dtype": "bfloat16", "batch": "64", "q_len": "1", "kv_len": "8192", "heads": "64",
    "kv_heads": "8", "head_dim": "128", "window": "0", "fw": "trtllm-1.3.0rc20", "kernel": "default",
}  # fmt: skip
NORM = COMMON | {"op": "rmsnorm", "rows": "4096", "cols": "8192", "extra": "", "fw": "vllm-0.24.0"}
GATHER = COMMON | {
    "device": "ascend-910b2", "op": "gather_elements", "src_rows": "4096", "rows": "1024", "cols": "512", "topk": "",
    "extra": "", "fw": "cann-9.0", "mode": "msprof", "unit": "die",
}  # fmt: skip
REDUCE = COMMON | {
    "op": "allreduce",
    "bytes": "1073741824",
    "gpus": "8",
    "nodes": "1",
    "fw": "nccl-2.26",
    "kernel": "NCCL",
}
COPY = COMMON | {"device": "tpu-v6e", "op": "hbm_copy", "bytes": "268435456", "fw": "jax", "mode": "trace"}
LINK = {
    "device": "ascend-910c", "op": "p2p", "scope": "node", "transport": "hccs", "direction": "read", "block_bytes": "1048576",
    "total_bytes": "134217728", "fw": "hixl", "kernel": "", "mode": "", "note": "", "unit": "die",
}  # fmt: skip
ROWS = {
    "gemm": GEMM, "attention": ATTENTION, "elementwise": NORM, "sparse_gather": GATHER, "collectives": REDUCE,
    "memcpy": COPY, "link": LINK,
}  # fmt: skip


def mixed() -> pd.DataFrame:
    return pd.DataFrame([*ROWS.values(), *reversed(ROWS.values())]).fillna("")


def test_every_row_finds_its_family() -> None:
    table = mixed()
    found = [f.name for f in families_of_rows(table.columns, table["op"].tolist(), "table")]
    assert found == [*ROWS, *reversed(ROWS)]


def test_rows_are_predicted_as_in_their_own_table_and_in_order() -> None:
    table = mixed()
    _, together = predict_frame(table)
    assert together["op"].tolist() == table["op"].tolist()
    for name, row in ROWS.items():
        family, alone = predict_frame(pd.DataFrame([row]))
        assert family.name == name
        assert alone["unsupported"][0] == ""
        both = together[together["op"] == row["op"]]
        assert both["predicted_us"].astype(float).tolist() == pytest.approx([float(alone["predicted_us"][0])] * 2)
        assert both["fidelity"].tolist() == [alone["fidelity"][0]] * 2


def test_one_family_alone_is_decided_by_its_columns() -> None:
    """An operator that no list names stays with the family of its table."""
    odd = pd.DataFrame([GATHER | {"op": "scatter_add_somehow"}])
    assert [f.name for f in families_of_rows(odd.columns, ["a_new_gather"], "t")] == ["sparse_gather"]
    assert family_of(pd.DataFrame([REDUCE]).columns, "t").name == "collectives"
