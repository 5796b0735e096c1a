"""Context parallelism: prompts cut by tokens (cp, prefill) or caches cut by tokens inside a tensor group (dcp, decode).

Before: every rank sees the keys of all tokens of its requests. After, cp: a rank computes its share of the new tokens and the
new cache rows of all ranks are gathered; the step was described with shares of equal attention work (StepShape.share).
After, dcp: a rank holds 1/dcp of each cache, queries of the group are gathered before the core and partial outputs are reduced
after it (the softmax statistics that travel along are below 1% of the bytes and left out). Both describe costs: the
numeric backend does not execute them.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.models.graph import Graph, Node
from simulator.models.layout import Layout
from simulator.ops.attention import Attention
from simulator.ops.collectives import AllGather, ReduceScatter
from simulator.ops.kv_cache import CacheAppend
from simulator.ops.local_share import LocalShare
from simulator.ops.mla import MlaAbsorbedAttention
from simulator.ops.op import Op
from simulator.ops.shapes import share_of
from simulator.passes.rewrite import Rewriter


def context(graph: Graph, layout: Layout, phase: str) -> Graph:
    """``graph`` with its context split as ``layout`` says. ValueError for prefill context parallelism in a decode step."""
    if layout.cp > 1 and phase == "decode":
        raise ValueError(f"cp={layout.cp} splits prompts; a decode step splits its caches with dcp inside tp")
    if layout.cp == 1 and (layout.dcp == 1 or phase == "prefill"):
        return graph
    return _Splitting(graph, layout, phase).run()


class _Splitting(Rewriter):
    def __init__(self, graph: Graph, layout: Layout, phase: str) -> None:
        super().__init__(graph)
        self.layout = layout
        self.dcp = layout.dcp if phase == "decode" else 1

    def run(self) -> Graph:
        """Copies the graph with the exchanges in place."""
        for node in self.old.nodes:
            for i in node.inputs:
                if i not in self.at and self.old.values[i].role != "activation":
                    self._source(i)
            if isinstance(node.op, CacheAppend) and self.layout.cp > 1:
                self._gathered_append(node)
            elif isinstance(node.op, Attention | MlaAbsorbedAttention) and self.dcp > 1:
                self._split_attention(node, node.op)
            else:
                self.keep(node)
        return self.graph()

    def _source(self, i: int) -> None:
        value = self.old.values[i]
        if value.role != "cache" or self.dcp == 1:
            self.source(i)
            return
        batch, past, *rest = value.spec.shape
        spec = value.spec.with_shape(batch, share_of(past, self.dcp), *rest)
        self.source(i, spec=spec, shard_also=(1, "dcp"))

    def _exchange(self, near: Node, name: str, op: Op, x: int) -> int:
        stream = "compute" if isinstance(op, LocalShare) else "comm"
        (out,) = self.emit(near, op, (x,), name=name, stream=stream, part="collective")
        return out

    def _gathered_append(self, node: Node) -> None:
        """Everyone receives the new rows; the graph goes on with the share whose work it describes."""
        past, new = (self.at[i] for i in node.inputs)
        n = self.layout.cp
        rows = self._exchange(node, f"{node.name}_gather", AllGather("cp", n, self.spec(new).dtype, axis=1), new)
        own = self._exchange(node, f"{node.name}_share", LocalShare("cp", n, 1), rows)
        outputs = self.emit(node, node.op, (past, own))
        self.at.update(zip(node.outputs, outputs, strict=True))

    def _split_attention(self, node: Node, op: Attention | MlaAbsorbedAttention) -> None:
        q, *rest = (self.at[i] for i in node.inputs)
        gather = AllGather("dcp", self.dcp, self.spec(q).dtype, axis=2)
        whole = self._exchange(node, f"{node.name}_queries", gather, q)
        rest = [self._sinks(i) if len(self.spec(i).shape) == 1 else i for i in rest]
        (out,) = self.emit(node, replace(op), (whole, *rest))
        scatter = ReduceScatter("dcp", self.dcp, self.spec(out).dtype, axis=2)
        self.at[node.outputs[0]] = self._exchange(node, f"{node.name}_merge", scatter, out)

    def _sinks(self, i: int) -> int:
        """Sink logits of all gathered heads."""
        value = self.values[i]
        wide = value.spec.with_shape(value.spec.shape[0] * self.dcp)
        self.values.append(replace(value, id=len(self.values), spec=wide, shard=None))
        return len(self.values) - 1
