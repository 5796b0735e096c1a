"""Collectives: all-reduce, all-gather, reduce-scatter, all-to-all and send/recv of every vendor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.fabric.collectives import collective_cost
from simulator.fabric.stack import CommStack, collective_stack
from simulator.fabric.topology import Span, place
from simulator.ops.work import Collective
from simulator.profiles import ProfileError, load_device, load_system
from simulator.profiles.system import System
from simulator.validation.predict.prediction import Prediction, blank, supported, worst
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.systems import domains_of, firmness, system_for

KINDS = {
    "allreduce": "all_reduce",
    "allgather": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "reducescatter": "reduce_scatter",
    "alltoall": "all_to_all",
    "send_recv": "send_recv",
    "broadcast": "broadcast",
}
KEYS = ["device", "op", "fw", "gpus", "nodes", "unit"]


def predict(rows: pd.DataFrame) -> Prediction:
    """Time of each collective; rows of one device, stack, operation and rank count are costed in one call."""
    out = blank(len(rows))
    table = rows.reset_index(drop=True)
    for column in KEYS:
        if column not in table:
            table[column] = ""
    for key, group in table.groupby(KEYS, sort=False, dropna=False):
        index = group.index.to_numpy(dtype=np.intp)
        payload = pd.to_numeric(group["bytes"], errors="coerce").to_numpy(dtype=np.float64)
        try:
            case = case_of(dict(zip(KEYS, key, strict=True)), payload)
            part = supported(case.seconds() * 1e6, case.fidelity())
        except (ValueError, KeyError, ProfileError) as error:
            part = blank(len(index), str(error).strip("'\""))
        out.put(index, part)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Rows of one device, stack, operation and rank count. cores, sharing: see topology.Span."""

    term: Collective
    system: System
    domains: int
    cores: int | None
    sharing: int
    stack: CommStack

    def span(self) -> Span:
        """Where the ranks lie."""
        return place(self.system, self.term.ranks, self.domains, cores=self.cores, sharing=self.sharing)

    def fidelity(self) -> str:
        """How firm the stack's values and the latencies of the tier are."""
        return worst(self.stack.fidelity, firmness(self.system.name, f"tiers.{self.span().inner_name}.start"))

    def seconds(self) -> npt.NDArray[np.float64]:
        """Predicted time of each row."""
        span = self.span()
        return np.asarray(collective_cost(self.term, self.system, span, self.stack).seconds, dtype=np.float64)


def case_of(key: Mapping[str, Any], payload: npt.NDArray[np.float64]) -> Case:
    """The collective behind rows that share ``key`` (see KEYS). KeyError, ValueError, ProfileError: not describable."""
    kind = KINDS.get(str(key["op"]), str(key["op"]))
    device = load_device(str(key["device"]))
    ranks, nodes = int(float(key["gpus"])), int(float(key["nodes"] or 1))
    stack = collective_stack(runtime_of(str(key["fw"])), device.vendor, device.architecture)
    system = _system(stack, str(key["device"]), ranks, nodes)
    cores, sharing = (1, system.ranks_per_device) if key["unit"] == "core" else (None, 1)
    domains = domains_of(system, nodes) if device.vendor == "nvidia" else 1
    return Case(Collective(kind, payload, ranks), system, domains, cores, sharing, stack)


def _system(stack: CommStack, device: str, ranks: int, nodes: int) -> System:
    """The system a row ran on: the one its stack names for several nodes, else the device's usual one."""
    named = stack.find("cluster", device=device) if nodes > 1 else None
    return load_system(str(named.traits["system"])) if named else system_for(device, ranks)
