"""ExpertDispatch and ExpertCombine: tokens travel to the ranks that own their experts and back.

Modes: low_latency (one message per token and expert), normal (one copy per token and node, then per rank), replicated
(tokens are already on every rank: keep the rows of local experts, all-reduce the results), partial (replicated without
that all-reduce: the results are summed later), all_gather (gather all tokens, reduce-scatter the results). With one
rank only the local permutation remains. Source: operators.md c; DeepEP README.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.ops import collectives
from simulator.ops import expert_transport as transport
from simulator.ops.counting import touch
from simulator.ops.expert_group import MODES, REPLICATED, ExpertGroup
from simulator.ops.op import Array, CollectiveOp, Example, rng
from simulator.ops.shapes import require, require_rank, same
from simulator.ops.tensor import Dim, TensorSpec
from simulator.ops.work import Collective, ExpertExchange, Gather, Term, Work
from simulator.profiles.dtypes import format_of

ROUTE_BYTES = 8  # int32 expert index and fp32 weight of one (token, expert) pair
Ranks = list[tuple[Array, ...]]


@dataclass(frozen=True)
class _Exchange(ExpertGroup, CollectiveOp):
    """What dispatch and combine share."""

    family = "exchange"

    @property
    def _arrives_sorted(self) -> bool:
        """Low-latency kernels place each message in expert order."""
        return self.mode == "low_latency" and self.ranks > 1

    def _wire(self, direction: str, tokens: Dim, hidden: Dim) -> tuple[Term, ...]:
        """The exchange itself."""
        row = float(np.max(np.asarray(hidden))) * format_of(self.dtype).bytes
        if self.ranks == 1 or self.mode == "partial":
            return ()
        if self.mode == "replicated":
            payload = np.asarray(tokens) * row
            return (Collective("all_reduce", payload, self.ranks, self.group),) if direction == "combine" else ()
        if self.mode == "all_gather":
            kind, extra = ("all_gather", ROUTE_BYTES * self.topk) if direction == "dispatch" else ("reduce_scatter", 0)
            return (Collective(kind, np.asarray(tokens) * self.ranks * (row + extra), self.ranks, self.group),)
        grouped = self.limited
        term = ExpertExchange(
            direction,
            self.fullest_port(tokens),
            self.topk,
            self.slots,
            self.ranks,
            int(np.max(np.asarray(hidden))),
            row,
            self.mode,
            self.topk_group if grouped else 0,
            self.n_group if grouped else 0,
            self.group,
            self.ranks_per_node,
        )
        return (term,)

    def _permute(self, rows: Dim, hidden: Dim, name: str) -> tuple[Term, ...]:
        """Local reordering of the rows; low-latency kernels receive in expert order and need none."""
        if self._arrives_sorted:
            return ()
        width = np.asarray(hidden, dtype=np.float64) * format_of(self.dtype).bytes
        return (Gather(rows, width if np.ndim(width) else float(width), name),)

    def _slots_of(self, indices: Array) -> Array:
        """Physical slot of every (token, choice)."""
        if not self.placement:
            return indices.astype(np.int64)
        homes = [np.flatnonzero(np.asarray(self.placement) == e) for e in range(self.experts)]
        turn = np.arange(len(indices))[:, None]
        count = np.array([len(h) for h in homes])
        table = np.array([np.resize(h, max(count)) for h in homes])
        slots: Array = table[indices, turn % count[indices]]
        return slots

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """One rank owns all experts; ValueError on a larger group."""
        if self.ranks > 1:
            raise ValueError(f"{type(self).__name__}: a group of {self.ranks} ranks needs exchange()")
        return self.exchange([arrays])[0][0]


@dataclass(frozen=True)
class ExpertDispatch(_Exchange):
    """x[T, h], indices[T, k], weights[T, k] -> rows[R, h], counts[El], source[R, 3], row_weights[R].

    rows are sorted by local expert, then source rank, token and choice; source holds exactly these three.
    R is the balanced expectation in infer() and whatever the routing gives in exchange().
    """

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """rows, counts, source, row_weights."""
        x, indices, weights = inputs
        require_rank(self, x, 2, "x")
        require(self, x.dtype == self.dtype, f"x is {x.dtype} but the wire format is {self.dtype}", x)
        fits = same(indices.shape[1], self.topk) and all(same(i.shape[0], x.shape[0]) for i in (indices, weights))
        require(self, fits, f"indices and weights must be [T, {self.topk}]", *inputs)
        r = self.rows(x.shape[0])
        counts = TensorSpec((self.local_experts,), "int32")
        return x.with_shape(r, x.shape[1]), counts, TensorSpec((r, 3), "int32"), TensorSpec((r,), "fp32")

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """The exchange and the local permutation."""
        tokens, hidden = inputs[0].shape
        wire = self._wire("dispatch", tokens, hidden)
        return Work((*wire, *self._permute(outputs[0].shape[0], hidden, "permute")))

    def exchange(self, per_rank: Ranks) -> tuple[Ranks, list[int]]:
        """Move the rows and sort them by expert."""
        width = format_of(self.dtype).bytes
        x = [a[0] for a in per_rank]
        slots = [self._slots_of(a[1]) for a in per_rank]
        owner = [s // self.local_experts for s in slots]
        routing = transport.Routing(owner, self.ranks, self.ranks_per_node or self.ranks)
        if self.mode in REPLICATED:
            delivered = [[(np.arange(len(x[r])), x[r])] for r in range(self.ranks)]
            sent = [0] * self.ranks
        elif self.mode == "all_gather":
            delivered, sent = self._gather_all(per_rank, width)
        elif self.mode == "normal":
            delivered, sent = transport.deliver_copies(x, routing, width)
        else:
            delivered, sent = transport.deliver_messages(x, routing, width)
        weights = [a[2] for a in per_rank]
        return [self._sorted(r, delivered[r], slots, weights) for r in range(self.ranks)], sent

    def _gather_all(self, per_rank: Ranks, width: float) -> tuple[transport.Delivered, list[int]]:
        held, sent = collectives.gather_ring([a[0] for a in per_rank], width)
        _, routes = collectives.gather_ring([a[1] for a in per_rank], ROUTE_BYTES)
        delivered = [[(np.arange(len(part)), part) for part in h] for h in held]
        return delivered, [a + b for a, b in zip(sent, routes, strict=True)]

    def _sorted(
        self, rank: int, received: list[tuple[Array, Array]], slots: list[Array], weights: list[Array]
    ) -> tuple[Array, ...]:
        """Rows of one rank in expert order."""
        first = rank * self.local_experts
        rows, keys, scales = [], [], []
        for i, (tokens, buffer) in enumerate(received):
            src = rank if self.mode in REPLICATED else i
            local = slots[src] - first
            token, choice = np.nonzero((local >= 0) & (local < self.local_experts))
            keys.append(np.stack([local[token, choice], np.full_like(token, src), token, choice], axis=1))
            held = buffer if len(buffer) == len(token) and np.array_equal(tokens, token) else None
            rows.append(buffer[np.searchsorted(tokens, token)] if held is None else held)
            scales.append(weights[src][token, choice])
        key = np.concatenate(keys)
        order = np.lexsort(key.T[::-1])
        counts = np.bincount(key[:, 0], minlength=self.local_experts).astype(np.int32)
        if not self._arrives_sorted:
            touch(0, len(order) * rows[0].shape[1])
        return np.concatenate(rows)[order], counts, key[order, 1:].astype(np.int32), np.concatenate(scales)[order]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One rank; four ranks with balanced routing in every mode."""
        return _examples(cls)


@dataclass(frozen=True)
class ExpertCombine(_Exchange):
    """rows[R, h], source[R, 3], row_weights[R], weights[T, k] -> [T, h], the weighted sum of each token's rows.

    Low latency: unweighted rows travel, the owner sums. Otherwise weighted partial sums travel.
    """

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """[T, h]."""
        rows, source, scales, weights = inputs
        require(self, rows.dtype == self.dtype, f"rows are {rows.dtype} but the wire format is {self.dtype}", rows)
        fits = same(rows.shape[0], source.shape[0]) and same(rows.shape[0], scales.shape[0])
        require(self, fits and same(weights.shape[1], self.topk), "rows, source, row_weights must match", *inputs)
        return (rows.with_shape(weights.shape[0], rows.shape[1]),)

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """The local reduction and the exchange."""
        rows, _, _, weights = inputs
        hidden = rows.shape[1]
        local = self._permute(rows.shape[0], hidden, "unpermute")
        return Work((*local, *self._wire("combine", weights.shape[0], hidden)))

    def exchange(self, per_rank: Ranks) -> tuple[Ranks, list[int]]:
        """Send rows or partial sums back to the owners of the tokens."""
        width = format_of(self.dtype).bytes
        for a in per_rank:
            touch(0, 0 if self._arrives_sorted else a[0].size)
        shapes = [(len(a[3]), a[0].shape[1]) for a in per_rank]
        if self.mode in (*REPLICATED, "all_gather"):
            return self._reduce_partial(per_rank, shapes, width)
        routing = transport.Routing(self._owners(per_rank), self.ranks, self.ranks_per_node or self.ranks)
        weights = [a[3] for a in per_rank]
        if self.mode == "low_latency":
            rows = [[self._from(a, src)[:3] for src in range(self.ranks)] for a in per_rank]
            out, sent = transport.return_messages(rows, weights, shapes, width)
        else:
            parts = [[self._weighted(a, src) for src in range(self.ranks)] for a in per_rank]
            out, sent = transport.return_partial_sums(parts, shapes, routing, width)
        return [(o,) for o in out], sent

    def per_rank(self, arrays: tuple[Array, ...]) -> list[tuple[Array, ...]]:
        """What the dispatch of the example tokens leaves on every rank."""
        tokens = _examples(ExpertDispatch)[0].arrays
        dispatch = ExpertDispatch(**{name: getattr(self, name) for name in self.__dataclass_fields__})
        sent = dispatch.per_rank(tokens)
        received, _ = dispatch.exchange(sent)
        return [(rows, source, scales, own[2]) for (rows, _, source, scales), own in zip(received, sent, strict=True)]

    def _from(self, arrays: tuple[Array, ...], src: int) -> tuple[Array, Array, Array, Array]:
        """(token, choice, row, weight) of the rows that came from ``src``."""
        rows, source, scales, _ = arrays
        mine = source[:, 0] == src
        return source[mine, 1], source[mine, 2], rows[mine], scales[mine]

    def _weighted(self, arrays: tuple[Array, ...], src: int) -> tuple[Array, Array]:
        token, _, rows, scales = self._from(arrays, src)
        return token, (rows * scales[:, None]).astype(rows.dtype, copy=False)

    def _owners(self, per_rank: Ranks) -> list[Array]:
        """owner[src][T, k] rebuilt from what every rank holds."""
        owner = [np.full(a[3].shape, -1) for a in per_rank]
        for rank, arrays in enumerate(per_rank):
            for src, token, choice in arrays[1]:
                owner[src][token, choice] = rank
        return owner

    def _reduce_partial(self, per_rank: Ranks, shapes: list[tuple[int, int]], width: float) -> tuple[Ranks, list[int]]:
        everyone = list(range(self.ranks))
        blocks = []
        for r, arrays in enumerate(per_rank):
            row = []
            for src in [r] if self.mode in REPLICATED else everyone:
                token, weighted = self._weighted(arrays, src)
                part = np.zeros(shapes[src], dtype=weighted.dtype)
                np.add.at(part, token, weighted)
                row.append(part)
            blocks.append(row)
        if self.mode == "partial":
            total, sent = [b[0] for b in blocks], [0] * self.ranks
        elif self.mode == "replicated":
            total, sent = collectives.add_up([b[0] for b in blocks], width)
        else:
            total, sent = collectives.scatter_reduce_ring(blocks, width)
        return [(t,) for t in total], sent

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """The results of the dispatch examples, sent back."""
        dtypes = ("bfloat16", "int32", "fp32", "fp32")
        ops = [e.op for e in _examples(cls)]
        return tuple(Example(op, op.per_rank(())[0], dtypes) for op in ops if isinstance(op, cls))


def _examples(cls: type[_Exchange]) -> tuple[Example, ...]:
    """Every pair of eight experts once, so that the routing has exactly its expected traffic."""
    pairs = np.array([(i, j) for i in range(8) for j in range(i + 1, 8)])
    g = rng(39)
    arrays = (g.normal(size=(len(pairs), 6)), pairs, g.random((len(pairs), 2)))
    modes = [(1, "low_latency", 0), *((4, m, 0) for m in MODES), (4, "normal", 2)]
    return tuple(Example(cls("ep", r, 8, 2, m, n), arrays, ("bfloat16", "int32", "fp32")) for r, m, n in modes)
