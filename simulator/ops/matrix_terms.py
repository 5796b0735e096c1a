"""Terms of the matrix unit: products, grouped products, attention, indexer scores. See work.py."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from simulator.ops.tensor import Dim, Number, as_float
from simulator.profiles.dtypes import format_of


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
        return 2.0 * as_float(self.batch) * as_float(self.m) * as_float(self.n) * as_float(self.k)

    def bytes_read(self) -> Number:
        """Each operand once."""
        a = as_float(self.m) * as_float(self.k) * format_of(self.a_dtype).bytes
        b = as_float(self.n) * as_float(self.k) * format_of(self.b_dtype).bytes
        return as_float(self.batch) * (a + b)

    def bytes_written(self) -> Number:
        """The output once."""
        return as_float(self.batch) * as_float(self.m) * as_float(self.n) * format_of(self.out_dtype).bytes


QUANTILES = 16
_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / QUANTILES) for i in range(QUANTILES)])


@dataclass(frozen=True, slots=True, eq=False)
class GroupedMatmul:
    """Products of several groups (experts) with ragged row counts, one weight each: out_g[m_g, n] = a_g[m_g, k] b_g.

    rows: total rows over the groups held here. groups: groups held here. active: groups with at least one row (expected
    value allowed). loads: rows per group as an array of shape (..., groups) when the split is known, else None; then spread
    is the standard deviation of the active groups' rows over their mean (0 = even).
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
    spread: Number = 0.0

    def relative_rows(self) -> np.ndarray:
        """Rows of QUANTILES equally many active groups over their mean, shape (..., QUANTILES); (..., 1) where all are even.

        Quantiles of a log-normal distribution of the given spread, scaled to a mean of 1.
        """
        spread = np.asarray(self.spread, dtype=np.float64)
        if not np.any(spread):
            return np.ones((*spread.shape, 1))
        at = np.exp(np.sqrt(np.log1p(spread**2))[..., None] * _NORMAL)
        return np.asarray(at / at.mean(axis=-1, keepdims=True))

    def flops(self) -> Number:
        """2 rows n k."""
        return 2.0 * as_float(self.rows) * as_float(self.n) * as_float(self.k)

    def bytes_read(self) -> Number:
        """Rows once, weights of the active groups once."""
        a = as_float(self.rows) * as_float(self.k) * format_of(self.a_dtype).bytes
        return a + as_float(self.active) * as_float(self.n) * as_float(self.k) * format_of(self.b_dtype).bytes

    def bytes_written(self) -> Number:
        """The output rows once."""
        return as_float(self.rows) * as_float(self.n) * format_of(self.out_dtype).bytes


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
        return as_float(self.batch) * as_float(self.pool_len) * as_float(self.kv_heads) * self.kv_bytes_token()

    def pairs(self) -> Number:
        """(query, key) pairs per head over the batch. Causal, full: q kv - q (q - 1) / 2."""
        q, kv, w = as_float(self.q_len), as_float(self.kv_len), as_float(self.window)
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
        return as_float(self.batch) * per

    def flops(self) -> Number:
        """2 heads (qk_dim + v_dim) per pair."""
        return 2.0 * as_float(self.heads) * (as_float(self.qk_dim) + as_float(self.v_dim)) * self.pairs()

    def exponentials(self) -> Number:
        """One per head and pair."""
        return as_float(self.heads) * self.pairs()

    def kv_bytes_token(self) -> Number:
        """Stored bytes of one token in one KV head."""
        if self.kv_bytes_per_token is not None:
            return self.kv_bytes_per_token
        width = as_float(self.qk_dim) + (0.0 if self.kv_shared else as_float(self.v_dim))
        return width * format_of(self.kv_dtype).bytes

    def kv_bytes(self) -> Number:
        """KV bytes touched at least once: every visible token once per request, or every selected row per query."""
        q, kv, w = as_float(self.q_len), as_float(self.kv_len), as_float(self.window)
        visible = np.where(w > 0, np.minimum(kv, w + q - 1), kv) if np.any(w) else kv
        rows = q * kv if self.selected else visible
        return as_float(self.batch) * rows * as_float(self.kv_heads) * self.kv_bytes_token()

    def bytes_read(self) -> Number:
        """Queries once plus the KV bytes."""
        q = (
            as_float(self.batch)
            * as_float(self.q_len)
            * as_float(self.heads)
            * as_float(self.qk_dim)
            * format_of(self.q_dtype).bytes
        )
        return q + self.kv_bytes()

    def bytes_written(self) -> Number:
        """Outputs once."""
        return (
            as_float(self.batch)
            * as_float(self.q_len)
            * as_float(self.heads)
            * as_float(self.v_dim)
            * format_of(self.out_dtype).bytes
        )


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
        q, kv = as_float(self.q_len), as_float(self.kv_len)
        per = q * kv - q * (q - 1) / 2 if self.causal else q * kv
        if self.request_pairs is not None:
            per = self.request_pairs
        return as_float(self.batch) * per

    def flops(self) -> Number:
        """2 heads dim per pair."""
        return 2.0 * as_float(self.heads) * as_float(self.dim) * self.pairs()

    def vector_ops(self) -> Number:
        """relu, multiply, add per head and pair."""
        return 3.0 * as_float(self.heads) * self.pairs()

    def bytes_read(self) -> Number:
        """Queries (8 bit), head weights (fp32) and each visible key once per request."""
        queries = as_float(self.batch) * as_float(self.q_len) * as_float(self.heads) * (as_float(self.dim) + 4.0)
        return queries + as_float(self.batch) * as_float(self.kv_len) * self.key_bytes

    def bytes_written(self) -> Number:
        """The logits."""
        return self.pairs() * self.out_bytes
