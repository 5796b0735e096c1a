"""The operator graph: a flat list of nodes in topological order over numbered values.

Layers are unrolled, but nodes cloned from one layer body share a ``template`` number, so that work and cost are
computed once per template and the numeric backend still sees every layer with its own weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from simulator.ops.op import Op
from simulator.ops.tensor import Number, TensorSpec
from simulator.ops.work import Work


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An edge of the graph: an activation, a weight, a cache or an input.

    role: "activation", "weight", "cache" (KV and index caches), "input" (token ids, positions ...).
    shard: for weights, caches and inputs, (axis, group) if the global tensor is split along ``axis`` over parallel
    group ``group`` (spec is the LOCAL shape), else None = replicated. Before the shard pass ``group`` is a logical
    axis (heads, kv_heads, ffn, vocab, experts, expert_width), spec is global and nothing is split. shard_also: a
    second split of the same tensor.
    blocks: global sizes of tensors concatenated along the shard axis, each cut separately (() = one tensor).
    ways: most slices each block can be cut into (KV heads under wide tensor parallelism; () = no limit); then ranks
    share slices.
    """

    id: int
    name: str
    spec: TensorSpec
    role: str = "activation"
    shard: tuple[int, str] | None = None
    shard_also: tuple[int, str] | None = None
    blocks: tuple[int, ...] = ()
    ways: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator instance.

    layer: index of the transformer layer, -1 outside. kind: layer kind ("dense", "moe", "mtp", "head" ...).
    stage: attention_in, attention_core, gate, dispatch, experts, shared, combine, ffn, embed, head ... (overlap passes
    schedule by stage). stream: "compute", "comm" or "copy". micro_batch: index when a pass split the batch.
    part: which number format rules the node (attention, absorbed, index, dense, experts, shared, gate, head, norm ...).
    pipeline: pipeline stage that runs the node.
    """

    id: int
    name: str
    op: Op
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    template: int
    layer: int = -1
    kind: str = ""
    stage: str = ""
    stream: str = "compute"
    micro_batch: int = 0
    part: str = ""
    pipeline: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """A layer body that several layers share: the layer it was built as, all layers that use it, values carried in
    and out.
    """

    layer: int
    layers: tuple[int, ...]
    carry_in: tuple[int, ...]
    carry_out: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in topological order and the values they connect. parallel: size of each parallel group ("tp", "ep" ...).

    bodies: while layers are folded (before the unroll pass), the carried values of each layer body; empty once
    unrolled.
    """

    nodes: tuple[Node, ...]
    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parallel: dict[str, int] = field(default_factory=dict)
    bodies: tuple[Body, ...] = ()

    def specs(self, ids: tuple[int, ...]) -> tuple[TensorSpec, ...]:
        """Specs of values by id."""
        return tuple(self.values[i].spec for i in ids)

    def templates(self) -> dict[int, Node]:
        """First node of each template."""
        first: dict[int, Node] = {}
        for node in self.nodes:
            first.setdefault(node.template, node)
        return first

    def work(self) -> dict[int, Work]:
        """Work of each template."""
        return {t: n.op.work(self.specs(n.inputs), self.specs(n.outputs)) for t, n in self.templates().items()}

    def weight_bytes(self) -> Number:
        """Bytes of all weights held by one rank."""
        return sum((v.spec.nbytes for v in self.values if v.role == "weight"), start=0.0)

    def with_nodes(self, nodes: tuple[Node, ...]) -> Graph:
        """Same values, other nodes."""
        return replace(self, nodes=nodes)
