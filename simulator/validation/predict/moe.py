"""Expert layers: rows of moe tables on NVIDIA GPUs; other vendors are handed to their own module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.devices.cost import Cost
from simulator.devices.expert_loads import Routing
from simulator.devices.gpu import FusedMoe, Loads, fused_moe_cost
from simulator.profiles import ProfileError, load_system
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel
from simulator.validation.predict.expert_rows import RoutedRows
from simulator.validation.predict.gpu_rows import (
    Index,
    KernelRows,
    column,
    kernel_groups,
    number,
    predict_groups,
    table_of,
)
from simulator.validation.predict.other_vendors import with_other_vendors
from simulator.validation.predict.precision import Precision
from simulator.validation.predict.prediction import Prediction

Array = npt.NDArray[np.float64]

SIZES = ("tokens", "hidden", "inter", "topk", "experts", "tp", "ep")
DEFAULT_DISTRIBUTION = "balanced"


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """One call of the core model on all rows of a group."""

    moe: FusedMoe
    routed: RoutedRows
    host_factor: float

    def __call__(self, gpu: Gpu, kernel: Kernel) -> Cost:
        return fused_moe_cost(self.moe, gpu, kernel, self.host_factor)

    def take(self, positions: Index) -> _Run:
        """Only the layers at ``positions``."""
        m, routed = self.moe, self.routed.take(positions)
        held = Loads(m.held.rows[positions], m.held.active[positions], routed.blocks)
        part = replace(
            m,
            held=held,
            tokens=m.tokens[positions],
            spread=m.spread[positions],
            hidden=m.hidden[positions],
            inter=m.inter[positions],
            topk=m.topk[positions],
            experts=m.experts[positions],
            ranks=m.ranks[positions],
        )
        return _Run(part, routed, self.host_factor)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """How a table's rows were driven: the operation timed, and how its router settles left-over rows."""

    op: str
    routing_rule: str


def groups(rows: pd.DataFrame) -> tuple[list[KernelRows], dict[int, str]]:
    """(groups of rows by device and kernel facts, reason by position of a row that cannot be predicted)."""
    names = ("device", "fw", "kernel", "dtype", "mode", "op")
    facts = pd.DataFrame({name: column(rows, name).to_numpy() for name in names})
    sizes = {name: number(rows, name, 1.0 if name in ("tp", "ep") else np.nan) for name in SIZES}
    dist = column(rows, "dist", DEFAULT_DISTRIBUTION).to_list()

    def build(one: Mapping[str, str], index: Index, gpu: Gpu, precision: Precision) -> _Run:
        part = {name: values[index] for name, values in sizes.items()}
        chosen = {name: value for name, value in one.items() if name not in ("device", "fw")}
        traits = table_of(one["fw"], "moe").select(gpu.architecture, **chosen).traits
        routing = Benchmark(one["op"], str(traits.get("routing_rule", "level")))
        return _run(part, [dist[i] for i in index], routing, precision, gpu)

    return kernel_groups(facts, sizes, "moe", build)


def _run(s: Mapping[str, Array], dist: Sequence[str], benchmark: Benchmark, precision: Precision, gpu: Gpu) -> _Run:
    # a megakernel's rows count tokens of one rank, all others those of the whole expert-parallel group
    tokens = s["tokens"] * s["ep"] if benchmark.op == "moe_megakernel" else s["tokens"]
    columns = zip(tokens, s["experts"], s["topk"], s["ep"], dist, strict=True)
    rule = benchmark.routing_rule
    routed = RoutedRows(tuple(Routing(int(t), int(e), int(k), int(r), str(d), rule) for t, e, k, r, d in columns))
    moe = FusedMoe(
        tokens=tokens,
        held=routed.held(),
        spread=routed.spread(),
        hidden=s["hidden"],
        inter=s["inter"] / np.maximum(s["tp"], 1.0),
        topk=s["topk"],
        experts=s["experts"],
        ranks=np.maximum(s["ep"], 1.0),
        a_dtype=precision.activation,
        b_dtype=precision.weight,
        rate=precision.rate,
    )
    return _Run(moe, routed, _host_factor(gpu))


def _host_factor(gpu: Gpu) -> float:
    """Slowness of the host that carries ``gpu`` by default."""
    try:
        system = load_system(gpu.default_system)
    except ProfileError:
        return 1.0
    return float(system.host.cpu_factor) if system.host is not None else 1.0


def predict(rows: pd.DataFrame) -> Prediction:
    """Predicted time of each row of a moe table, microseconds."""
    return with_other_vendors(rows, "moe", lambda r: predict_groups(len(r), *groups(r)))
