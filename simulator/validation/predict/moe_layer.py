"""Predicts the forward time of a training MoE layer: gate, exchange, experts, combine and the shared expert in turn."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from simulator.ops.work import Collective, Elementwise, ExpertExchange, Gather, GroupedMatmul, Matmul, Term, Work
from simulator.profiles import ProfileError, load_device
from simulator.profiles.dtypes import format_of
from simulator.study.node_cost import Machine
from simulator.validation.predict.prediction import Prediction, blank, supported
from simulator.validation.predict.systems import system_for

RUNTIMES = {"nvidia": "trtllm", "google": "jax", "huawei": "cann"}  # whose expert kernels stand in for the trainer's
WIDE = 2.0  # bytes of an activation in training (bfloat16), also on the wire
STORED = {"fp8": ("fp8_block", "fp8_block_weight", "fp8"), "bfloat16": ("bfloat16", "bfloat16", "bf16")}


def predict(rows: pd.DataFrame) -> Prediction:
    """Forward microseconds of each row; the stack is nobody's we know, so every row is ``estimated``."""
    result = blank(len(rows))
    for position, row in enumerate(rows.to_dict("records")):
        index = np.array([position])
        try:
            seconds = _seconds({str(k): str(v) for k, v in row.items()})
        except (ProfileError, ValueError, KeyError) as error:
            result.unsupported[position] = str(error)
            continue
        result.put(index, supported(np.array([seconds * 1e6]), "estimated"))
    return result


def _seconds(row: dict[str, str]) -> float:
    machine = _machine(row["device"], int(row["ep"]) * int(row["tp"] or 1))
    return float(np.asarray(machine.cost_of(Work(tuple(_terms(row)))).cost.seconds))


@lru_cache(maxsize=32)
def _machine(device: str, ranks: int) -> Machine:
    found = load_device(device)
    return Machine(found, system_for(device, ranks), RUNTIMES[found.vendor])


def _terms(row: dict[str, str]) -> list[Term]:
    tokens, hidden, width = float(row["tokens"]), int(row["hidden"]), int(row["inter"])
    topk, experts, ep = int(row["topk"]), int(row["experts"]), int(row["ep"])
    held, passed = experts // ep, tokens * topk  # forced balance: every rank receives as many rows as it sends
    shared = int(float(row["shared_inter"] or 0))
    found: list[Term] = [Matmul(tokens, experts, hidden), *_exchange(row, "dispatch")]
    found += _mlp(row, passed, hidden, width, held)
    found += _exchange(row, "combine")
    if shared:
        found += _mlp(row, tokens, hidden, shared, 1)
    return found


def _mlp(row: dict[str, str], rows: float, hidden: int, width: int, groups: int) -> list[Term]:
    stored = STORED["bfloat16" if format_of(row["dtype"]).bits >= 16 else "fp8"]  # KeyError: unknown format
    a, b, rate = stored
    up = GroupedMatmul(rows, groups, groups, 2 * width, hidden, a, b, rate=rate, quantizes_a=rate == "fp8")
    down = GroupedMatmul(rows, groups, groups, hidden, width, a, b, rate=rate, quantizes_a=rate == "fp8")
    act = Elementwise("silu_mul", rows, width, rows * width * 2 * WIDE, rows * width * WIDE, 4.0, 1.0)
    return [up, act, down]


def _exchange(row: dict[str, str], direction: str) -> list[Term]:
    tokens, hidden, topk = float(row["tokens"]), int(row["hidden"]), int(row["topk"])
    experts, ep = int(row["experts"]), int(row["ep"])
    permute = Gather(tokens * topk, hidden * WIDE, "permute")
    if row["dispatcher"] == "a2a":
        return [permute, Collective("all_to_all", tokens * topk * hidden * WIDE, ep, "ep"), permute]
    copies = ExpertExchange(direction, tokens, topk, experts, ep, hidden, hidden * WIDE, "normal")
    return [copies, permute]
