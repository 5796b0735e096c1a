"""What a trace shows on the slice of an operator: shapes, FLOPs, bytes, what binds, and where it sits in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.devices.cost import Cost
from simulator.models.graph import Graph
from simulator.ops.tensor import Dim, Number, TensorSpec
from simulator.ops.work import Work
from simulator.replay.program import Program


def node_args(
    graph: Graph,
    program: Program,
    works: Mapping[int, Work],
    costs: Mapping[int, Cost] | None = None,
    sources: Mapping[int, str] | None = None,
    scenario: int = 0,
) -> dict[int, dict[str, Any]]:
    """Arguments of every program node. works, costs and sources (fidelity labels) are by template."""
    shared = {t: _template_args(works[t], (costs or {}).get(t), (sources or {}).get(t), scenario) for t in works}
    result = {}
    for index, origin in enumerate(program.origin):
        node = graph.nodes[origin]
        place: dict[str, Any] = {"op": type(node.op).__name__, "micro_batch": node.micro_batch}
        if node.layer >= 0:
            place["layer"] = node.layer
        shapes = {
            "inputs": [spec_text(s, scenario) for s in graph.specs(node.inputs)],
            "outputs": [spec_text(s, scenario) for s in graph.specs(node.outputs)],
        }
        result[index] = {**place, **shapes, **shared.get(node.template, {})}
    return result


def spec_text(spec: TensorSpec, scenario: int = 0) -> str:
    """Shape and format, e.g. "128x7168 fp8_block"."""
    return f"{'x'.join(_plain(d, scenario) for d in spec.shape) or 'scalar'} {spec.dtype}"


def _template_args(work: Work, cost: Cost | None, source: str | None, scenario: int) -> dict[str, Any]:
    args: dict[str, Any] = {
        "flops": pick(work.flops(), scenario),
        "bytes_read": pick(work.bytes_read(), scenario),
        "bytes_written": pick(work.bytes_written(), scenario),
        "wire_bytes": pick(work.wire_bytes(), scenario),
    }
    args = {name: value for name, value in args.items() if value}
    if cost is not None:
        args["bound"] = str(np.asarray(cost.bound()).reshape(-1)[_index(cost.bound(), scenario)])
    if source is not None:
        args["source"] = source
    return args


def pick(value: Number, scenario: int) -> float:
    """The value of one scenario as a plain float."""
    flat = np.asarray(value, dtype=np.float64).reshape(-1)
    return float(flat[_index(flat, scenario)])


def _index(value: Any, scenario: int) -> int:
    return scenario if np.size(value) > 1 else 0


def _plain(dim: Dim, scenario: int) -> str:
    return f"{pick(np.asarray(dim, dtype=np.float64), scenario):.12g}"
