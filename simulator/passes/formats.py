"""Number formats: weights, activations, caches and wire copies take the format of their part.

Before: every tensor is 16 bit. After: weights of quantised parts are stored narrow, one Quantize node feeds all
products that read the same activation, caches have their storage format, dispatched rows travel narrow.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.models.formats import Formats, Scheme
from simulator.models.graph import Graph, Node
from simulator.ops.attention import Attention
from simulator.ops.batched_linear import BatchedLinear
from simulator.ops.expert_exchange import ExpertDispatch
from simulator.ops.grouped_linear import GroupedLinear
from simulator.ops.indexer import IndexerScores
from simulator.ops.linear import Linear
from simulator.ops.mla import MlaAbsorbedAttention
from simulator.ops.op import Op
from simulator.ops.quantize import Quantize
from simulator.ops.shared_kv_attention import SharedKvAttention
from simulator.ops.sparse_attention import IndexMaskedAttention, SparseMlaAttention
from simulator.passes.rewrite import Rewriter
from simulator.profiles.dtypes import format_of

_CORES = (Attention, MlaAbsorbedAttention, SparseMlaAttention, IndexMaskedAttention, SharedKvAttention)


def formats(graph: Graph, choice: Formats) -> Graph:
    """``graph`` with the formats of ``choice``."""
    w = _Narrowing(graph, choice)
    for node in graph.nodes:
        w.visit(node)
    return w.graph()


def stored_cache(name: str, choice: Formats) -> str:
    """Storage format of a cache by its name (8-bit latent caches keep the rotary part in 16 bit)."""
    if "index_cache" in name:
        return choice.index_cache
    if name.endswith("recurrent_state") or "_state@" in name:
        return "fp32"
    if name.endswith("conv_state"):
        return "bfloat16"
    if choice.kv_cache != "fp8":
        return choice.kv_cache
    latent = {"kv_cache": "fp8_mla", "entry_cache": "fp8_mla_v4", "window_cache": "fp8_mla_v4"}
    return latent.get(name.rsplit(".", 1)[-1].split("@")[0], "fp8")


class _Narrowing(Rewriter):
    def __init__(self, graph: Graph, choice: Formats) -> None:
        super().__init__(graph)
        self.choice = choice
        self.narrowed: dict[tuple[int, str], int] = {}
        self.weight_part: dict[int, str] = {}
        for node in graph.nodes:
            for i in node.inputs:
                self.weight_part.setdefault(i, node.part)

    def visit(self, node: Node) -> None:
        """Copies one node with its formats."""
        for i in node.inputs:
            if i not in self.at:
                self._source(i)
        scheme = self.choice.scheme(node.part)
        op = node.op
        if isinstance(op, Linear | GroupedLinear | BatchedLinear):
            self._product(node, scheme, replace(op, rate=scheme.rate))
        elif isinstance(op, ExpertDispatch):
            wire = replace(op, dtype=self.choice.dispatch)
            self._product(node, Scheme("bfloat16", self.choice.dispatch, "bf16"), wire)
        elif isinstance(op, IndexerScores):
            self._scores(node, op, self.choice.scheme("index_scores"))
        elif isinstance(op, _CORES):
            self.keep(node, replace(op, rate=scheme.rate))
        else:
            self.keep(node)

    def _source(self, i: int) -> None:
        value = self.old.values[i]
        if value.role == "cache":
            self.source(i, spec=value.spec.with_dtype(stored_cache(value.name, self.choice)))
        elif value.role == "weight" and len(value.spec.shape) >= 2 and value.spec.dtype == "bfloat16":
            # vectors (norms, biases) stay in 16 bit
            self.source(i, spec=value.spec.with_dtype(self.choice.scheme(self.weight_part[i]).weight))
        else:
            self.source(i)

    def _product(self, node: Node, scheme: Scheme, op: Op) -> None:
        x = self.at[node.inputs[0]]
        narrow = format_of(scheme.activation).bits < 16 <= format_of(self.spec(x).dtype).bits
        first = self._quantized(node, x, scheme.activation) if narrow else x
        outputs = self.emit(node, op, (first, *(self.at[i] for i in node.inputs[1:])))
        self.at.update(zip(node.outputs, outputs, strict=True))

    def _scores(self, node: Node, op: IndexerScores, scheme: Scheme) -> None:
        q, keys, w = (self.at[i] for i in node.inputs)
        if scheme.quantizes:
            q = self._quantized(node, q, scheme.activation)
        outputs = self.emit(node, replace(op, rate=scheme.rate), (q, keys, w))
        self.at.update(zip(node.outputs, outputs, strict=True))

    def _quantized(self, node: Node, x: int, name: str) -> int:
        key = (x, name)
        if key not in self.narrowed:
            stream = {"stream": "compute"}
            self.narrowed[key] = self.emit(
                node, Quantize(name), (x,), name=f"{node.name}_quantize", part="vector", **stream
            )[0]
        return self.narrowed[key]
