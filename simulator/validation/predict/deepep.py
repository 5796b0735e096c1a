"""Expert-parallel dispatch and combine of every vendor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.fabric import expert_direct
from simulator.fabric.exchange import exchange_cost
from simulator.fabric.stack import CommStack, exchange_stack
from simulator.fabric.topology import place
from simulator.ops.work import ExpertExchange
from simulator.profiles import ProfileError, load_device
from simulator.profiles.dtypes import format_of
from simulator.profiles.system import System
from simulator.validation.predict.prediction import Prediction, blank, supported
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.systems import domains_of, system_for

KEYS = ["device", "op", "dtype", "hidden", "topk", "experts", "ep", "nodes", "fw", "kernel", "mode", "unit"]
LOW_LATENCY = "low_latency"
QUANTISED = "_lp"  # a combine that sends its copies in the low precision of the row
# formats whose scales travel with the data
STORED = {"fp8": "fp8_block"}
ASCEND_SCALE_SLOT = 512 / 7168


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Rows that share device, stack and routing. sms: SMs that move data; None = the stack's default."""

    term: ExpertExchange
    system: System
    domains: int
    kernel: str
    sms: npt.NDArray[np.float64] | None
    op: str
    stack: CommStack

    def seconds(self) -> npt.NDArray[np.float64]:
        """Predicted time of each row."""
        span = place(self.system, self.term.ranks, self.domains)
        if self.op.endswith("prepare"):
            values = self.stack.need("prepare").values
            tokens = np.asarray(self.term.tokens, dtype=np.float64)
            return np.asarray(expert_direct.prepare_seconds(tokens, span, values), dtype=np.float64)
        cost = exchange_cost(self.term, self.system, self.stack, span=span, sms=self.sms, kernel=self.kernel)
        seconds = np.asarray(cost.seconds, dtype=np.float64)
        if self.op.endswith(QUANTISED):
            found = self.stack.need(self.kernel, direction=self.term.direction)
            slots = np.asarray(self.term.tokens, dtype=np.float64) * self.term.topk * self.term.hidden
            seconds = seconds + slots * format_of("bfloat16").bytes / found.values["slot_rate"]
        return seconds


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each dispatch or combine; rows of one device, stack and routing are costed in one call."""
    out = blank(len(rows))
    table = rows.reset_index(drop=True)
    for column in (*KEYS, "sms"):
        if column not in table:
            table[column] = ""
    for key, group in table.groupby(KEYS, sort=False, dropna=False):
        index = group.index.to_numpy(dtype=np.intp)
        try:
            case = case_of(dict(zip(KEYS, key, strict=True)), _numbers(group["tokens"]), _numbers(group["sms"]))
            part = supported(case.seconds() * 1e6, case.stack.fidelity)
        except (ValueError, KeyError, ProfileError) as error:
            part = blank(len(index), str(error).strip("'\""))
        out.put(index, part)
    return out


def case_of(key: Mapping[str, Any], tokens: npt.NDArray[np.float64], sms: npt.NDArray[np.float64]) -> Case:
    """The exchange behind rows that share ``key``. KeyError, ValueError, ProfileError: not describable."""
    device = load_device(str(key["device"]))
    ranks, nodes, hidden = _count(key["ep"]), _count(key["nodes"], 1), _count(key["hidden"])
    op, kernel = str(key["op"]), str(key["kernel"])
    stack = exchange_stack(runtime_of(str(key["fw"])), device.vendor, device.architecture)
    mode = LOW_LATENCY if key["mode"] == "ll" else "normal"
    direction = "combine" if "combine" in op else "dispatch"
    found = stack.find(kernel, direction=direction)
    dtype = str(key["dtype"])
    if found and not op.endswith(QUANTISED):
        dtype = str(found.traits.get("combine_dtype", dtype))
    copy = copy_bytes(dtype, hidden, device.vendor, direction)
    topk, experts = _count(key["topk"], 8), _count(key["experts"], 256)
    term = ExpertExchange(direction, tokens, topk, experts, ranks, hidden, copy, mode)
    cores = cores_of(str(key["device"]), str(key["unit"]))
    system = system_for(str(key["device"]), -(-ranks // cores))
    domains = domains_of(system, nodes) if device.vendor == "nvidia" else 1
    engines = np.where(sms > 0, sms, np.nan)
    given = None if not np.isfinite(engines).any() else np.where(np.isfinite(engines), engines, np.nanmedian(engines))
    return Case(term, system, domains, kernel, given, op, stack)


def copy_bytes(dtype: str, hidden: int, vendor: str, direction: str) -> float:
    """Bytes of one token copy with its scales. Source: arXiv:2506.12708, section 4.2 (512 B slot of int8 copies)."""
    if dtype == "int8" and vendor == "huawei":
        return hidden * (1.0 + ASCEND_SCALE_SLOT)
    name = "bfloat16" if not dtype or (direction == "combine" and dtype == "fp8") else STORED.get(dtype, dtype)
    return hidden * format_of(name).bytes


def cores_of(device: str, unit: str) -> int:
    """Ranks per device: 2 on chips that show two core-devices, when a row counts those."""
    usual = system_for(device, 1)
    return usual.ranks_per_device if unit == "core" else 1


def _numbers(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    return pd.to_numeric(column, errors="coerce").fillna(0.0).to_numpy(dtype=np.float64)


def _count(text: Any, default: int = 0) -> int:
    return int(float(text)) if str(text).strip() else default
