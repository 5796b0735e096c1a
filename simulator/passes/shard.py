"""Sharding: cuts weights and caches over the parallel groups and inserts the collectives that keep results unchanged.

Before: one device, weights annotated with logical axes (heads, ffn, vocab, experts, expert_width). After: shapes are
one rank's, column-parallel products are followed by row-parallel ones and a reduction (Megatron-LM, arXiv
1909.08053), the residual stream is split by tokens under sequence parallelism (arXiv 2205.05198), experts exchange
tokens over their group.
MLA latents are replicated over tp. Replicated duplicates are the only work done more than once.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.models.graph import Graph, Node
from simulator.models.layout import Layout
from simulator.ops.attention import Attention
from simulator.ops.collectives import AllGather, AllReduce, ReduceScatter
from simulator.ops.elementwise import Add, SigmoidMul
from simulator.ops.embedding import Embedding, VocabParallelEmbedding
from simulator.ops.expert_exchange import ExpertCombine, ExpertDispatch
from simulator.ops.grouped_linear import GroupedLinear
from simulator.ops.hash_gate import HashGate
from simulator.ops.linear import Linear
from simulator.ops.local_share import LocalShare
from simulator.ops.norm import RMSNorm
from simulator.ops.op import Op
from simulator.ops.parallel_norm import ParallelRMSNorm
from simulator.ops.shapes import same
from simulator.ops.top_k import ArgMax
from simulator.ops.views import Concat, Expand, Split
from simulator.passes.rewrite import Rewriter, consumers
from simulator.passes.slices import Widths, block_widths, cuts_of, local_spec, pieces_of

# operators that treat every token alone and therefore run on a token-split residual stream
TOKENWISE = frozenset(
    (
        "RMSNorm",
        "LayerNorm",
        "AddRMSNorm",
        "Add",
        "Mul",
        "Scale",
        "SigmoidMul",
        "Cast",
        "Quantize",
        "SiluMul",
        "Activation",
        "Linear",
        "MoeGate",
        "HashGate",
        "Concat",
        "GroupedLinear",
        "ExpertDispatch",
        "ExpertCombine",
        "HyperPre",
        "HyperPost",
        "HyperHead",
    )
)
ATTENTION = frozenset(("attention_in", "attention_core", "head"))


def shard(graph: Graph, layout: Layout) -> Graph:
    """``graph`` as one rank of ``layout`` executes it. ``layout`` must be resolved against the model."""
    if layout.devices == 1:
        return replace(graph, parallel=layout.groups())
    pass_ = _Sharding(graph, layout)
    for node in graph.nodes:
        try:
            pass_.visit(node)
        except ValueError as error:
            raise ValueError(f"layer {node.layer}: {node.name}: one rank's share does not fit: {error}") from None
    return pass_.graph(layout.groups())


class _Sharding(Rewriter):
    """state of a new value: full, split (last or head axis over tp), scattered (tokens over tp), partial (sum
    pending).
    """

    def __init__(self, graph: Graph, layout: Layout) -> None:
        super().__init__(graph)
        self.layout = layout
        self.size = layout.groups()
        self.scatter = layout.sequence_parallel and layout.tp > 1
        experts = self.size["ep"] * self.size["moe_tp"]
        alone = layout.dp * layout.cp == 1 and not self.scatter
        self.exchange = "none" if experts == 1 else "partial" if alone else "exchange"
        self.state: dict[int, str] = {}
        self.widths: dict[int, Widths] = {}
        self.other: dict[tuple[int, str], int] = {}
        self.readers = consumers(graph)

    def visit(self, node: Node) -> None:
        """Copies one node, its operands in the form it needs."""
        for i in node.inputs:
            if i not in self.at:
                self._source(i, node.part)
        handler = getattr(self, f"_{type(node.op).__name__.lower()}", self._default)
        handler(node, node.op)

    # -- operands ------------------------------------------------------------------------------------------------------

    def _source(self, i: int, part: str) -> None:
        value = self.old.values[i]
        apart = part == "shared" and self.exchange == "exchange"  # the shared expert is whole where tokens travel
        cuts = [] if apart else cuts_of(value, self.size)
        spec = local_spec(value, cuts, self.size, self.layout.redundant_experts)
        tags = (*cuts, None, None)
        new = self.source(i, spec=spec, shard=tags[0], shard_also=tags[1])
        self.state[new] = "split" if cuts and cuts[0][1] == "tp" else "full"

    def _want(self, old: int, form: str, node: Node) -> int:
        """New id of an old value in ``form`` (full or scattered), converting once."""
        new = self.at[old]
        if self.state[new] == "partial":
            new = self.at[old] = self._reduce(new, node)
        if self.state[new] == form or (form == "full" and self.state[new] == "split"):
            return new
        key = (new, form)
        if key not in self.other:
            op: Op = AllGather("tp", self.layout.tp, axis=0) if form == "full" else LocalShare("tp", self.layout.tp)
            label = "gather" if form == "full" else "share"
            self.other[key] = self._insert(node, f"{self._name(new)}_{label}", op, new, form)
        return self.other[key]

    def _insert(self, near: Node, name: str, op: Op, x: int, state: str) -> int:
        stream = "compute" if isinstance(op, LocalShare) else "comm"
        if isinstance(op, AllGather | AllReduce | ReduceScatter):
            op = replace(op, dtype=self.spec(x).dtype)
        (out,) = self.emit(near, op, (x,), name=name, stream=stream, part="collective")
        self.state[out] = state
        return out

    def _reduce(self, new: int, node: Node) -> int:
        name = self._name(new)
        if self.scatter:
            return self._insert(node, f"{name}_reduce_scatter", ReduceScatter("tp", self.layout.tp), new, "scattered")
        return self._insert(node, f"{name}_all_reduce", AllReduce("tp", self.layout.tp), new, "full")

    def _name(self, new: int) -> str:
        return self.values[new].name.rsplit(".", 1)[-1]

    # -- operators -----------------------------------------------------------------------------------------------------

    def _default(self, node: Node, op: Op) -> None:
        forms = {self.state[self.at[i]] for i in node.inputs}
        tokenwise = type(op).__name__ in TOKENWISE or node.part == "vector"
        if not tokenwise and forms & {"scattered", "partial"}:
            inputs = tuple(self._want(i, "full", node) for i in node.inputs)
        else:
            inputs = tuple(self.at[i] for i in node.inputs)
        self._finish(node, op, inputs, self._result(inputs))

    def _add(self, node: Node, op: Add | Concat) -> None:
        """Where only one side is split by tokens (learned positions, last tokens), the other is too."""
        if {self.state[self.at[i]] for i in node.inputs} == {"scattered", "full"}:
            inputs = tuple(self._want(i, "scattered", node) for i in node.inputs)
            self._finish(node, op, inputs, "scattered")
        else:
            self._default(node, op)

    _concat = _add

    def _result(self, inputs: tuple[int, ...]) -> str:
        forms = {self.state[i] for i in inputs}
        return next((f for f in ("split", "partial", "scattered") if f in forms), "full")

    def _finish(self, node: Node, op: Op, inputs: tuple[int, ...], state: str) -> None:
        outputs = self.emit(node, op, inputs)
        first = inputs[0]
        if self.widths.get(first) and same(self.spec(outputs[0]).shape[-1], self.spec(first).shape[-1]):
            self.widths[outputs[0]] = self.widths[first]
        for old, new in zip(node.outputs, outputs, strict=True):
            self.at[old], self.state[new] = new, state
            if state == "partial" and not self._deferred(old):
                self.at[old] = self._reduce(new, node)

    def _deferred(self, old: int) -> bool:
        """Whether the sum can wait: the only reader adds it to another pending sum of the same layer."""
        readers = self.readers.get(old, [])
        linear = len(readers) == 1 and isinstance(readers[0].op, Add | SigmoidMul)
        return linear and readers[0].stage in ("combine", "shared")

    def _linear(self, node: Node, op: Linear) -> None:
        w = self.at[node.inputs[1]]
        tag = self.values[w].shard
        rest = tuple(self.at[i] for i in node.inputs[1:])
        if tag is None:
            self._whole_linear(node, op, rest)
        elif tag[0] == 0:
            x = self._want(node.inputs[0], "full", node)
            self._finish(node, op, (x, *rest), "split")
            value = self.values[w]
            self.widths[self.at[node.outputs[0]]] = block_widths(value, self.layout.tp)
        else:
            op = replace(op, bias_share=1.0 / self.layout.tp) if len(rest) == 2 else op
            self._finish(node, op, (self.at[node.inputs[0]], *rest), "partial")

    def _whole_linear(self, node: Node, op: Linear, rest: tuple[int, ...]) -> None:
        x = self.at[node.inputs[0]]
        if node.stage in ATTENTION and self.state[x] == "scattered":
            x = self._want(node.inputs[0], "full", node)
        elif node.stage == "gate":
            x = self._pooled(x, node)
        self._finish(node, op, (x, *rest), self.state[x])

    def _attention(self, node: Node, op: Attention) -> None:
        """Query heads stay with the KV heads they belong to: both are cut, or there is one KV head for all."""
        before = [self.old.values[i].spec.shape[2] for i in node.inputs[:2]]
        after = [self.spec(self.at[i]).shape[2] for i in node.inputs[:2]]
        if not same(before[0], after[0]) and same(before[1], after[1]) and not same(after[1], 1):
            raise ValueError(
                f"query heads are cut from {before[0]} to {after[0]}, the {after[1]} heads of keys and values are not; "
                "cut both over the heads"
            )
        self._default(node, op)

    def _rmsnorm(self, node: Node, op: RMSNorm) -> None:
        if len(node.inputs) == 2 and self.values[self.at[node.inputs[1]]].shard is not None:
            parallel = ParallelRMSNorm("tp", self.layout.tp, op.eps)
            self._finish(node, parallel, tuple(self.at[i] for i in node.inputs), "split")
        else:
            self._default(node, op)

    def _split(self, node: Node, op: Split) -> None:
        x = self.at[node.inputs[0]]
        widths = self.widths.get(x, ())
        if sum(op.sizes) == self.spec(x).shape[op.axis] or not widths:
            self._finish(node, op, (x,), self.state[x])
            return
        pieces = pieces_of(op.sizes, widths)
        sizes = tuple(sum(local for _, local in piece) for piece in pieces)
        self._finish(node, replace(op, sizes=sizes), (x,), self.state[x])
        self.widths.update(zip((self.at[o] for o in node.outputs), pieces, strict=True))

    def _expand(self, node: Node, op: Expand) -> None:
        if node.stage != "attention_core":
            self._default(node, op)
            return
        self._finish(node, replace(op, times=op.times // self.layout.tp), (self.at[node.inputs[0]],), "split")

    def _embedding(self, node: Node, op: Embedding) -> None:
        inputs = tuple(self.at[i] for i in node.inputs)
        if self.values[inputs[1]].shard is None:
            self._finish(node, op, inputs, "full")
        else:
            self._finish(node, VocabParallelEmbedding("tp", self.layout.tp, out_dtype=op.out_dtype), inputs, "full")
        if self.scatter and len(self.spec(self.at[node.outputs[0]]).shape) == 2:
            self.at[node.outputs[0]] = self._want(node.outputs[0], "scattered", node)

    def _argmax(self, node: Node, op: ArgMax) -> None:
        x = self.at[node.inputs[0]]
        if self.state[x] == "split":
            x = self._insert(node, "logits_gather", AllGather("tp", self.layout.tp, axis=-1), x, "full")
        self._finish(node, op, (x,), "full")

    # -- experts -------------------------------------------------------------------------------------------------------

    def _pooled(self, x: int, node: Node) -> int:
        """Tokens of all ranks that share an expert's width."""
        n = self.size["moe_tp"]
        if self.exchange != "exchange" or n == 1:
            return x
        key = (x, "pooled")
        if key not in self.other:
            gather = AllGather("moe_tp", n, axis=0)
            self.other[key] = self._insert(node, f"{self._name(x)}_pool", gather, x, self.state[x])
        return self.other[key]

    def _hashgate(self, node: Node, op: HashGate) -> None:
        logits, ids, table = (self.at[i] for i in node.inputs)
        if self.state[logits] == "scattered":
            ids = self._want(node.inputs[1], "scattered", node)
        self._finish(node, op, (logits, self._pooled(ids, node), table), self.state[logits])

    def _expertdispatch(self, node: Node, op: ExpertDispatch) -> None:
        x, indices, weights = (self.at[i] for i in node.inputs)
        self._finish(node, self._placed(op), (self._pooled(x, node), indices, weights), self.state[x])

    def _expertcombine(self, node: Node, op: ExpertCombine) -> None:
        inputs = tuple(self.at[i] for i in node.inputs)
        if self.exchange == "partial":
            self._finish(node, self._placed(op), inputs, "partial")
            return
        state = self.state[inputs[0]]
        self._finish(node, self._placed(op), inputs, state)
        n = self.size["moe_tp"]
        if self.exchange == "exchange" and n > 1:
            out = self.at[node.outputs[0]]
            scatter = ReduceScatter("moe_tp", n)
            self.at[node.outputs[0]] = self._insert(node, "combine_reduce_scatter", scatter, out, state)

    def _groupedlinear(self, node: Node, op: GroupedLinear) -> None:
        inputs = tuple(self.at[i] for i in node.inputs)
        slots = op.experts + self.layout.redundant_experts
        cut = self.values[inputs[2]].shard_also or self.values[inputs[2]].shard
        summed = cut is not None and cut[0] == 2  # the contraction axis: results of moe_tp ranks are added up
        share = 1.0 / self.size["moe_tp"] if summed and len(inputs) == 4 else 1.0
        self._finish(node, replace(op, experts=slots, bias_share=share), inputs, self.state[inputs[0]])

    def _placed(self, op: ExpertDispatch | ExpertCombine) -> Op:
        mode = "partial" if self.exchange == "partial" else op.mode
        extra = self.layout.redundant_experts
        placement = (*range(op.experts), *(i % op.experts for i in range(extra))) if extra else ()
        return replace(op, ranks=self.size["ep"], mode=mode, placement=placement)
