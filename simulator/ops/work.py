"""What an operator asks of a machine, in terms a core model can cost: shapes, not times.

``Work`` is a tuple of terms. Each term is one kind of activity (a matrix product, an attention sweep, a vector pass, a
gather, a collective ...) with its shape. FLOPs and bytes are *derived* from the terms, so that what is costed, what is
counted and what the drift tests compare is one description. Every field that counts something may be an array with one
entry per scenario. 1 multiply-accumulate = 2 FLOP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from simulator.ops.routing import expected_destinations
from simulator.ops.tensor import Dim, Number
from simulator.profiles.dtypes import format_of


def _f(x: Dim) -> Number:
    return np.asarray(x, dtype=np.float64) if isinstance(x, np.ndarray) else float(x)


@dataclass(frozen=True, slots=True, eq=False)
class Matmul:
    """``batch`` independent products out[m, n] = a[m, k] b[k, n].

    rate: rate class of the matrix unit (see profiles.dtypes). b_is_weight: b streams from memory (weights), else it was
    just produced. quantizes_a: the kernel also quantises a (reads it in 16 bit, writes it in a_dtype).
    """

    m: Dim
    n: Dim
    k: Dim
    a_dtype: str = "bfloat16"
    b_dtype: str = "bfloat16"
    out_dtype: str = "bfloat16"
    rate: str = "bf16"
    batch: Dim = 1
    b_is_weight: bool = True
    quantizes_a: bool = False

    def flops(self) -> Number:
        """2 batch m n k."""
        return 2.0 * _f(self.batch) * _f(self.m) * _f(self.n) * _f(self.k)

    def bytes_read(self) -> Number:
        """Each operand once."""
        a = _f(self.m) * _f(self.k) * format_of(self.a_dtype).bytes
        b = _f(self.n) * _f(self.k) * format_of(self.b_dtype).bytes
        return _f(self.batch) * (a + b)

    def bytes_written(self) -> Number:
        """The output once."""
        return _f(self.batch) * _f(self.m) * _f(self.n) * format_of(self.out_dtype).bytes


@dataclass(frozen=True, slots=True, eq=False)
class GroupedMatmul:
    """Products of several groups (experts) with ragged row counts, one weight each: out_g[m_g, n] = a_g[m_g, k] b_g.

    rows: total rows over the groups held here. groups: groups held here. active: groups with at least one row (expected
    value allowed). loads: rows per group as an array of shape (..., groups) when the split is known, else None = even.
    """

    rows: Dim
    groups: Dim
    active: Dim
    n: Dim
    k: Dim
    a_dtype: str = "fp8_block"
    b_dtype: str = "fp8_block_weight"
    out_dtype: str = "bfloat16"
    rate: str = "fp8"
    loads: np.ndarray | None = None
    quantizes_a: bool = False

    def flops(self) -> Number:
        """2 rows n k."""
        return 2.0 * _f(self.rows) * _f(self.n) * _f(self.k)

    def bytes_read(self) -> Number:
        """Rows once, weights of the active groups once."""
        a = _f(self.rows) * _f(self.k) * format_of(self.a_dtype).bytes
        return a + _f(self.active) * _f(self.n) * _f(self.k) * format_of(self.b_dtype).bytes

    def bytes_written(self) -> Number:
        """The output rows once."""
        return _f(self.rows) * _f(self.n) * format_of(self.out_dtype).bytes


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Softmax attention core: scores, softmax, weighted sum.

    batch requests, q_len new tokens each, kv_len keys visible to the *last* new token (new tokens included). causal:
    query i of q_len sees kv_len - q_len + i + 1 keys; else all kv_len. window: 0 = full, else at most that many most
    recent keys. kv_shared: keys and values are one stored vector of kv_width elements (absorbed MLA, V4), read once per
    token. selected: True if the keys of each query are a gathered subset (sparse attention): kv_len is then the number
    of *selected* keys per query and nothing is shared between queries. rate: matrix rate class of both products.
    """

    batch: Dim
    q_len: Dim
    kv_len: Dim
    heads: Dim
    kv_heads: Dim
    qk_dim: Dim
    v_dim: Dim
    causal: bool = True
    window: Dim = 0
    q_dtype: str = "bfloat16"
    kv_dtype: str = "bfloat16"
    out_dtype: str = "bfloat16"
    rate: str = "bf16"
    kv_shared: bool = False
    # stored bytes per token and KV head when the layout is mixed (656 for FP8 MLA)
    kv_bytes_per_token: Number | None = None
    selected: bool = False
    pool_len: Dim = 0  # with selected: stored tokens per request that the rows are picked from (0 = not known)

    def pool_bytes(self) -> Number:
        """Bytes of the stored keys that selected rows lie scattered in."""
        return _f(self.batch) * _f(self.pool_len) * _f(self.kv_heads) * self.kv_bytes_token()

    def pairs(self) -> Number:
        """(query, key) pairs per head over the batch. Causal, full: q kv - q (q - 1) / 2."""
        q, kv, w = _f(self.q_len), _f(self.kv_len), _f(self.window)
        if self.selected or not self.causal:
            per = q * (np.minimum(kv, w) if np.any(w) else kv)
        else:
            first = kv - q + 1  # keys seen by the first new query
            full = q * (first + kv) / 2
            # queries that would see more than w keys are cut to w; overrun of query i is max(0, first + i - w)
            last_over = np.maximum(kv - w, 0.0)
            first_over = np.maximum(first - w, 0.0)
            count = np.minimum(last_over, q)
            overrun = count * (last_over + np.maximum(first_over, last_over - count + 1)) / 2
            per = np.where(w > 0, full - overrun, full) if np.ndim(w) or w > 0 else full
        return _f(self.batch) * per

    def flops(self) -> Number:
        """2 heads (qk_dim + v_dim) per pair."""
        return 2.0 * _f(self.heads) * (_f(self.qk_dim) + _f(self.v_dim)) * self.pairs()

    def exponentials(self) -> Number:
        """One per head and pair."""
        return _f(self.heads) * self.pairs()

    def kv_bytes_token(self) -> Number:
        """Stored bytes of one token in one KV head."""
        if self.kv_bytes_per_token is not None:
            return self.kv_bytes_per_token
        width = _f(self.qk_dim) + (0.0 if self.kv_shared else _f(self.v_dim))
        return width * format_of(self.kv_dtype).bytes

    def kv_bytes(self) -> Number:
        """KV bytes touched at least once: every visible token once per request, or every selected row per query."""
        q, kv, w = _f(self.q_len), _f(self.kv_len), _f(self.window)
        visible = np.where(w > 0, np.minimum(kv, w + q - 1), kv) if np.any(w) else kv
        rows = q * kv if self.selected else visible
        return _f(self.batch) * rows * _f(self.kv_heads) * self.kv_bytes_token()

    def bytes_read(self) -> Number:
        """Queries once plus the KV bytes."""
        q = _f(self.batch) * _f(self.q_len) * _f(self.heads) * _f(self.qk_dim) * format_of(self.q_dtype).bytes
        return q + self.kv_bytes()

    def bytes_written(self) -> Number:
        """Outputs once."""
        return _f(self.batch) * _f(self.q_len) * _f(self.heads) * _f(self.v_dim) * format_of(self.out_dtype).bytes


@dataclass(frozen=True, slots=True, eq=False)
class IndexScores:
    """Lightning-indexer logits: sum over index heads of w_h relu(q_h . k), for each visible (query, key) pair.

    Source: DeepSeek-V3.2 report eq. 1. key_bytes: stored bytes of one key (132 = 128 e4m3 + one fp32 scale).
    """

    batch: Dim
    q_len: Dim
    kv_len: Dim
    heads: Dim
    dim: Dim
    key_bytes: float = 132.0
    causal: bool = True
    paged: bool = True
    rate: str = "fp8"
    out_bytes: float = 4.0
    # pairs of one request where a key stands for several tokens; None = from the lengths
    request_pairs: Number | None = None

    def pairs(self) -> Number:
        """(query, key) pairs over the batch."""
        q, kv = _f(self.q_len), _f(self.kv_len)
        per = q * kv - q * (q - 1) / 2 if self.causal else q * kv
        if self.request_pairs is not None:
            per = self.request_pairs
        return _f(self.batch) * per

    def flops(self) -> Number:
        """2 heads dim per pair."""
        return 2.0 * _f(self.heads) * _f(self.dim) * self.pairs()

    def vector_ops(self) -> Number:
        """relu, multiply, add per head and pair."""
        return 3.0 * _f(self.heads) * self.pairs()

    def bytes_read(self) -> Number:
        """Queries (8 bit), head weights (fp32) and each visible key once per request."""
        queries = _f(self.batch) * _f(self.q_len) * _f(self.heads) * (_f(self.dim) + 4.0)
        return queries + _f(self.batch) * _f(self.kv_len) * self.key_bytes

    def bytes_written(self) -> Number:
        """The logits."""
        return self.pairs() * self.out_bytes


@dataclass(frozen=True, slots=True, eq=False)
class TopK:
    """Pick the k largest of each of ``rows`` rows of ``cols`` fp32 scores; writes int32 indices."""

    rows: Dim
    cols: Dim
    k: Dim
    passes: float = 2.0

    def bytes_read(self) -> Number:
        """Radix selection reads the row about twice."""
        return self.passes * 4.0 * _f(self.rows) * _f(self.cols)

    def bytes_written(self) -> Number:
        """k int32 per row."""
        return 4.0 * _f(self.rows) * np.minimum(_f(self.k), _f(self.cols))

    def vector_ops(self) -> Number:
        """One compare per element and pass."""
        return self.passes * _f(self.rows) * _f(self.cols)


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise:
    """A vector pass over ``rows`` x ``cols`` elements.

    name: what it computes (rmsnorm, silu_mul, rope, quantize ...); stacks may own a kernel of that name.
    read / written: bytes moved in total. ops, exps: vector and transcendental operations per element.
    """

    name: str
    rows: Dim
    cols: Dim
    read: Number
    written: Number
    ops: float = 1.0
    exps: float = 0.0
    kernels: int = 1

    def elements(self) -> Number:
        """rows x cols."""
        return _f(self.rows) * _f(self.cols)

    def vector_ops(self) -> Number:
        """Vector operations."""
        return self.ops * self.elements()

    def exponentials(self) -> Number:
        """Transcendental operations."""
        return self.exps * self.elements()

    def bytes_read(self) -> Number:
        """Bytes read."""
        return self.read

    def bytes_written(self) -> Number:
        """Bytes written."""
        return self.written


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """Move ``rows`` scattered rows of ``row_bytes`` each (embedding, permutation, paged copy)."""

    rows: Dim
    row_bytes: Number
    name: str = "gather"

    def bytes_read(self) -> Number:
        """Rows read."""
        return _f(self.rows) * self.row_bytes

    def bytes_written(self) -> Number:
        """Rows written."""
        return _f(self.rows) * self.row_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Collective:
    """A collective over ``ranks`` ranks of one named parallel group.

    kind: all_reduce, all_gather, reduce_scatter, all_to_all, send_recv, broadcast.
    payload: bytes in nccl-tests' sense: all-reduce buffer; all-gather TOTAL output; reduce-scatter TOTAL input;
    all-to-all per-rank send buffer; send_recv message.
    """

    kind: str
    payload: Number
    ranks: int
    group: str = "tp"

    def wire_bytes(self) -> Number:
        """Bytes one rank sends, bandwidth-optimal: (n-1)/n of the payload, twice that for all-reduce."""
        n = self.ranks
        if n <= 1:
            return 0.0
        share = {"all_reduce": 2.0 * (n - 1) / n, "send_recv": 1.0, "broadcast": 1.0}.get(self.kind, (n - 1) / n)
        return share * self.payload


@dataclass(frozen=True, slots=True, eq=False)
class ExpertExchange:
    """Expert-parallel dispatch or combine: each of ``tokens`` local tokens goes to (returns from) topk experts.

    direction: "dispatch" or "combine". copy_bytes: bytes of one token copy (7,392 for V3 FP8 dispatch, 14,336 combine).
    mode: "low_latency" (one message per token and expert) or "normal" (one copy per token and node, then NVLink).
    max_groups: routing limited to that many expert groups (= nodes when groups are packed on nodes); 0 = free.
    ranks_per_node: ranks that share a node (0 = all of them); only the normal mode distinguishes.
    """

    direction: str
    tokens: Dim
    topk: int
    experts: int
    ranks: int
    hidden: int
    copy_bytes: float
    mode: str = "low_latency"
    max_groups: int = 0
    groups: int = 0
    group: str = "ep"
    ranks_per_node: int = 0

    def logical_bytes(self) -> Number:
        """tokens topk copy_bytes, the local share included (the DeepEP tables' convention)."""
        return _f(self.tokens) * self.topk * self.copy_bytes

    def copies_per_token(self, destinations: int) -> float:
        """Copies of one token when it goes once to each distinct destination (``destinations`` ranks or nodes).

        In low-latency mode one message per expert, wherever it lives.
        """
        if self.mode == "low_latency":
            return float(self.topk)
        return expected_destinations(self.experts, self.topk, destinations, self.groups or 1, self.max_groups or 1)

    def wire_bytes(self) -> Number:
        """Expected bytes one rank sends, experts spread evenly.

        Low latency: every message but the local share. Normal: one copy per remote node to the relay there, then one
        copy per further rank of the node. Source: operators.md c.
        """
        if self.mode == "low_latency":
            return self.logical_bytes() * (self.ranks - 1) / self.ranks
        size = self.ranks_per_node or self.ranks
        nodes = max(self.ranks // size, 1)
        between = self.copies_per_token(nodes) * (nodes - 1) / nodes
        within = self.copies_per_token(self.ranks) * (size - 1) / size
        return _f(self.tokens) * self.copy_bytes * (between + within)


Term: TypeAlias = (
    Matmul | GroupedMatmul | Attention | IndexScores | TopK | Elementwise | Gather | Collective | ExpertExchange
)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """The terms of one operator, executed one after the other as (at least) one kernel each."""

    terms: tuple[Term, ...] = field(default_factory=tuple)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.terms)

    def matmul_flops(self) -> dict[str, Number]:
        """Matrix FLOPs by rate class."""
        total: dict[str, Number] = {}
        for t in self.terms:
            if isinstance(t, Matmul | GroupedMatmul | Attention | IndexScores):
                total[t.rate] = total.get(t.rate, 0.0) + t.flops()
        return total

    def flops(self) -> Number:
        """Matrix FLOPs of all rate classes."""
        return sum(self.matmul_flops().values(), start=0.0)

    def vector_ops(self) -> Number:
        """Vector-unit operations."""
        return sum((t.vector_ops() for t in self.terms if isinstance(t, IndexScores | TopK | Elementwise)), start=0.0)

    def exponentials(self) -> Number:
        """Transcendental operations."""
        return sum((t.exponentials() for t in self.terms if isinstance(t, Attention | Elementwise)), start=0.0)

    def bytes_read(self) -> Number:
        """Bytes read at least once from device memory."""
        return sum((t.bytes_read() for t in self.terms if not isinstance(t, Collective | ExpertExchange)), start=0.0)

    def bytes_written(self) -> Number:
        """Bytes written."""
        return sum((t.bytes_written() for t in self.terms if not isinstance(t, Collective | ExpertExchange)), start=0.0)

    def wire_bytes(self) -> Number:
        """Bytes one rank sends over the fabric."""
        return sum((t.wire_bytes() for t in self.terms if isinstance(t, Collective | ExpertExchange)), start=0.0)
