"""Cost of the questions users ask, as multiples of a fixed loop timed in the same process: comparing all devices, and
predicting ten thousand kernel rows of mixed families.

Run: python benchmarks/question_speed.py [--rows 10000] [--table FILE.csv]
Only the ratios mean anything on a shared machine; the seconds beside them are CPU seconds of this run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pandas as pd

from simulator.study.compare import compare
from simulator.validation.predict.table import predict_frame, read_table

LOOP = 10_000_000
DEVICES = ("a100-sxm", "h100-sxm", "h200-sxm", "b200-sxm", "gb200", "l40s")
STACKS = (("trtllm-1.3.0rc20", "torch_flow"), ("vllm-0.24.0", "torch.nn.functional.linear"))


def loop() -> float:
    """CPU seconds of the reference loop."""
    start, total = time.process_time(), 0
    for i in range(LOOP):
        total += i & 3
    return time.process_time() - start


def timed(question: Callable[[], object]) -> tuple[float, float]:
    """(CPU seconds of ``question``, the same in reference loops around it)."""
    before, start = loop(), time.process_time()
    question()
    seconds = time.process_time() - start
    return seconds, 2 * seconds / (before + loop())


def mixed_rows(count: int) -> pd.DataFrame:
    """``count`` rows: dense products, attention, norms and all-reduces over devices, stacks and sizes."""
    rows = []
    sizes = product((1, 16, 256, 4096), (1024, 4096, 8192), (2048, 7168), DEVICES, STACKS)
    for m, n, k, device, (fw, kernel) in sizes:
        base = {"device": device, "dtype": "bfloat16", "mode": "graph", "fw": fw}
        rows += [
            base | {"op": "gemm", "m": m, "n": n, "k": k, "kernel": kernel},
            base | {"op": "rmsnorm", "rows": m, "cols": n, "extra": ""},
            base | {"op": "allreduce", "bytes": m * n, "gpus": 8, "nodes": 1, "kernel": "NCCL"},
            base | {"op": "attention_decode_gqa", "kv_dtype": "bfloat16", "batch": m, "q_len": 1, "kv_len": n, "heads": 64}
            | {"kv_heads": 8, "head_dim": 128, "window": 0, "kernel": "default"},
        ]  # fmt: skip
    table = pd.DataFrame(rows).astype(object).fillna("").astype(str)
    return table.sample(count, replace=True, random_state=0).reset_index(drop=True)


def main() -> None:
    """Print one line a question."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--table", help="a measurement file to predict instead of rows made up here")
    given = parser.parse_args()
    rows = read_table(Path(given.table)) if given.table else mixed_rows(given.rows)
    questions = {
        "compare deepseek-v3.2-chat on all devices": lambda: compare("deepseek-v3.2-chat", ["all"]),
        f"predict {len(rows):,} mixed kernel rows": lambda: predict_frame(rows),
    }
    for name, question in questions.items():
        seconds, ratio = timed(question)
        sys.stdout.write(f"{name}: {ratio:.1f} reference loops ({seconds:.1f} s of CPU here)\n")


if __name__ == "__main__":
    main()
