"""Collects nodes and values of a graph while a model is described; the only mutable object of this room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from simulator.models.graph import Body, Graph, Node, Value
from simulator.models.options import Options
from simulator.models.step import StepShape
from simulator.ops.op import CollectiveOp, Op
from simulator.ops.tensor import Dim, TensorSpec
from simulator.profiles.model import Model

COMMUNICATION_STAGES = ("dispatch", "combine")


@dataclass(slots=True)
class Scope:
    """Labels given to nodes as they are added. group: name of the request group in a mixed step."""

    layer: int = -1
    kind: str = ""
    stage: str = ""
    part: str = ""
    group: str = ""


class Builder:
    """Adds operators one after the other; shapes are inferred on the way."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.values: list[Value] = []
        self.inputs: list[int] = []
        self.bodies: list[Body] = []
        self.scope = Scope()
        self._weights: dict[str, int] = {}

    @contextmanager
    def at(self, stage: str, part: str = "") -> Iterator[None]:
        """Nodes added inside carry ``stage`` and ``part``."""
        before = (self.scope.stage, self.scope.part)
        self.scope.stage, self.scope.part = stage, part
        try:
            yield
        finally:
            self.scope.stage, self.scope.part = before

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Nodes and caches added inside belong to one request group of a mixed step; weights stay shared."""
        self.scope.group = name
        try:
            yield
        finally:
            self.scope.group = ""

    def spec(self, value: int) -> TensorSpec:
        """Spec of a value."""
        return self.values[value].spec

    def input(self, name: str, *shape: Dim, dtype: str = "int32") -> int:
        """A graph input."""
        self.inputs.append(self._value(name, TensorSpec(shape, dtype), "input"))
        return self.inputs[-1]

    def weight(
        self,
        name: str,
        *shape: Dim,
        dtype: str = "bfloat16",
        shard: tuple[int, str] | None = None,
        also: tuple[int, str] | None = None,
        blocks: tuple[int, ...] = (),
        ways: tuple[int, ...] = (),
    ) -> int:
        """A weight; ``shard`` names the logical axis it may be split along (see graph.Value)."""
        title = self._name(name)
        if self.scope.group and title in self._weights:  # another group of the step reads it too
            return self._weights[title]
        value = Value(len(self.values), title, TensorSpec(shape, dtype), "weight", shard, also, blocks, ways)
        self.values.append(value)
        self._weights[title] = value.id
        return value.id

    def cache(self, name: str, *shape: Dim, shard: tuple[int, str] | None = None, ways: int = 0) -> int:
        """A cache read and written by the step; at most ``ways`` slices along the shard axis."""
        blocks = (int(shape[shard[0]]),) if shard and ways else ()
        return self.cache_blocks(name, *shape, shard=shard, blocks=blocks, ways=(ways,) if ways else ())

    def cache_blocks(
        self,
        name: str,
        *shape: Dim,
        shard: tuple[int, str] | None,
        blocks: tuple[int, ...],
        ways: tuple[int, ...],
    ) -> int:
        """A cache whose shard axis is several concatenated tensors."""
        title = self._name(f"{self.scope.group}.{name}" if self.scope.group else name)
        value = Value(len(self.values), title, TensorSpec(shape), "cache", shard, None, blocks, ways)
        self.values.append(value)
        self.inputs.append(value.id)
        return value.id

    def add(self, name: str, op: Op, *inputs: int) -> int:
        """Appends ``op`` and returns its only output."""
        (out,) = self.add_many(name, op, *inputs)
        return out

    def add_many(self, name: str, op: Op, *inputs: int) -> tuple[int, ...]:
        """Appends ``op`` and returns its outputs."""
        name = f"{name}_{self.scope.group}" if self.scope.group else name
        specs = op.infer(*(self.values[i].spec for i in inputs))
        outputs = tuple(self._value(f"{name}.{i}" if i else name, s) for i, s in enumerate(specs))
        s, node = self.scope, len(self.nodes)
        exchanges = s.stage in COMMUNICATION_STAGES and isinstance(op, CollectiveOp)
        stream = "comm" if exchanges else "compute"
        self.nodes.append(Node(node, name, op, inputs, outputs, node, s.layer, s.kind, s.stage, stream, part=s.part))
        return outputs

    def graph(self, outputs: tuple[int, ...]) -> Graph:
        """What was built."""
        return Graph(tuple(self.nodes), tuple(self.values), tuple(self.inputs), outputs, {}, tuple(self.bodies))

    def _name(self, name: str) -> str:
        return f"layers.{self.scope.layer}.{name}" if self.scope.layer >= 0 else name

    def _value(self, name: str, spec: TensorSpec, role: str = "activation") -> int:
        self.values.append(Value(len(self.values), self._name(name), spec, role))
        return len(self.values) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What every block may look at: the model, the step, the options and the shared inputs."""

    model: Model
    step: StepShape
    options: Options
    positions: int
    ids: int

    @property
    def prefill(self) -> bool:
        """Whether the step is a prefill."""
        return self.step.phase == "prefill"
