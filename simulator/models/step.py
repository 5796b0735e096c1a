"""One step of an engine: how many requests, how many new tokens each, and how much context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from simulator.ops.tensor import Dim


@dataclass(frozen=True, slots=True, eq=False)
class StepShape:
    """Shape of a step; each size may be an array with one entry per scenario.

    batch: requests per attention-data-parallel rank. q_len: new tokens per request (1 + drafts in decode). kv_len:
    context including the new tokens. sampled: tokens per request that go through the head (0 = 1 in prefill, q_len in
    decode). groups: of a mixed step (see ``mixed``), the requests that decode and those that prefill; the sizes of the step
    itself then are those of one request with all new tokens in a row.
    """

    phase: Literal["prefill", "decode"]
    batch: Dim
    q_len: Dim
    kv_len: Dim
    sampled: Dim = 0
    groups: tuple[StepShape, ...] = ()

    def __post_init__(self) -> None:
        if self.phase not in ("prefill", "decode"):
            raise ValueError(f"phase={self.phase!r}; known: prefill, decode")
        if np.any(np.asarray(self.kv_len) < np.asarray(self.q_len)):
            raise ValueError(f"kv_len={self.kv_len} must include the {self.q_len} new tokens")

    @property
    def tokens(self) -> Dim:
        """New tokens per attention-data-parallel rank."""
        return self.batch * self.q_len

    @property
    def requests(self) -> Dim:
        """Requests per attention-data-parallel rank, of all groups."""
        return sum((g.batch for g in self.groups), start=0) if self.groups else self.batch

    @property
    def context(self) -> Dim:
        """Mean tokens of a request, the new ones included."""
        if not self.groups:
            return self.kv_len
        return plain(np.asarray(sum(g.batch * g.kv_len for g in self.groups) / self.requests))

    @property
    def past_len(self) -> Dim:
        """Tokens of each request already in the cache."""
        return self.kv_len - self.q_len

    @property
    def head_tokens(self) -> Dim:
        """Tokens that go through the head per request."""
        if np.any(np.asarray(self.sampled) > 0):
            return self.sampled
        return 1 if self.phase == "prefill" else self.q_len

    def share(self, parts: int) -> StepShape:
        """One of ``parts`` shares of the new tokens of every request, all with equal attention work.

        q / parts queries that see on average the keys of the middle of the prompt: kv - q / 2 (1 - 1 / parts) keys at the last
        of them, so that the causal pairs of all shares add up to those of the whole.
        """
        if parts == 1:
            return self
        if self.groups:
            raise ValueError(f"cp={parts} splits prompts; a mixed step has decoding requests too")
        q, kv = (np.asarray(v, dtype=np.float64) for v in (self.q_len, self.kv_len))
        return replace(self, q_len=plain(q / parts), kv_len=plain(kv - q / 2 * (1 - 1 / parts)))


def mixed(decode: StepShape, prefill: StepShape) -> StepShape:
    """One engine step over both groups: each runs its own attention, all new tokens share the rest."""
    tokens = decode.tokens + prefill.tokens
    return StepShape("prefill", 1, tokens, tokens, groups=(decode, prefill))


def plain(x: np.ndarray) -> Dim:
    """An array as it is; a single number as int where it is whole."""
    if np.ndim(x):
        return x
    return int(x) if float(x).is_integer() else float(x)
