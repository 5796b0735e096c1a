"""Collectives: real ring and pairwise exchanges between simulated ranks, with the bytes each rank sends.

Source: ring all-reduce = reduce-scatter + all-gather, 2 (n-1)/n of the buffer per rank (Patarasuk & Yuan 2009);
all-to-all pairwise, (n-1)/n.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.ops.op import Array, CollectiveOp, Example, rng
from simulator.ops.shapes import axis_of, replace_dim, require, share_of
from simulator.ops.tensor import TensorSpec
from simulator.ops.work import Collective, Work
from simulator.profiles.dtypes import format_of

Ranks = list[tuple[Array, ...]]


def scatter_reduce_ring(blocks: list[list[Array]], element_bytes: float) -> tuple[list[Array], list[int]]:
    """blocks[rank][block] -> (sum over ranks of block r on rank r, bytes sent by each rank), by n - 1 ring steps."""
    n = len(blocks)
    held = [[b.copy() for b in row] for row in blocks]
    sent = [0.0] * n
    for step in range(n - 1):
        moving = [(r, (r - step - 1) % n) for r in range(n)]
        messages = [held[r][b].copy() for r, b in moving]
        for (r, b), message in zip(moving, messages, strict=True):
            held[(r + 1) % n][b] = message + held[(r + 1) % n][b]
            sent[r] += message.size * element_bytes
    return [held[r][r] for r in range(n)], [round(s) for s in sent]


def gather_ring(parts: list[Array], element_bytes: float) -> tuple[list[list[Array]], list[int]]:
    """parts[rank] -> (every rank's list of all parts, bytes sent by each rank), by n - 1 ring steps."""
    n = len(parts)
    held: list[list[Array]] = [[parts[b] if b == r else parts[b][:0] for b in range(n)] for r in range(n)]
    sent = [0.0] * n
    for step in range(n - 1):
        moving = [(r, (r - step) % n) for r in range(n)]
        messages = [held[r][b].copy() for r, b in moving]
        for (r, b), message in zip(moving, messages, strict=True):
            held[(r + 1) % n][b] = message
            sent[r] += message.size * element_bytes
    return held, [round(s) for s in sent]


def add_up(parts: Sequence[Array], element_bytes: float) -> tuple[list[Array], list[int]]:
    """Ring all-reduce of equally shaped arrays."""
    n, shape = len(parts), parts[0].shape
    if n == 1:
        return [parts[0]], [0]
    blocks = [np.array_split(p.reshape(-1), n) for p in parts]
    sums, sent_reduce = scatter_reduce_ring(blocks, element_bytes)
    held, sent_gather = gather_ring(sums, element_bytes)
    sent = [a + b for a, b in zip(sent_reduce, sent_gather, strict=True)]
    return [np.concatenate(h).reshape(shape) for h in held], sent


@dataclass(frozen=True)
class _GroupOp(CollectiveOp):
    """A collective of one input and one output over ``ranks`` ranks of ``group``."""

    group: str = "tp"
    ranks: int = 1
    dtype: str = "bfloat16"  # format on the wire; must be the input's
    family = "collective"

    @abstractmethod
    def _kind(self) -> str: ...

    def work(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Work:
        """One collective; nothing on a group of one. The payload is the larger side (nccl-tests' sense)."""
        if self.ranks == 1:
            return Work()
        payload = outputs[0].nbytes if self._kind() == "all_gather" else inputs[0].nbytes
        return Work((Collective(self._kind(), payload, self.ranks, self.group),))

    def reference(self, *arrays: Array) -> tuple[Array, ...]:
        """One rank: the input itself."""
        return self.exchange([arrays])[0][0]

    def _checked(self, x: TensorSpec) -> TensorSpec:
        require(self, x.dtype == self.dtype, f"input is {x.dtype} but the wire format is {self.dtype}", x)
        return x

    def _width(self) -> float:
        return format_of(self.dtype).bytes


@dataclass(frozen=True)
class AllReduce(_GroupOp):
    """x -> sum of x over the ranks, on every rank."""

    def _kind(self) -> str:
        return "all_reduce"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as the input."""
        return (self._checked(inputs[0]),)

    def exchange(self, per_rank: Ranks) -> tuple[Ranks, list[int]]:
        """Ring reduce-scatter, ring all-gather."""
        total, sent = add_up([a[0] for a in per_rank], self._width())
        return [(t,) for t in total], sent

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One and four ranks."""
        x = rng(5).normal(size=(4, 6))
        return Example(cls(), (x,), ("bfloat16",)), Example(cls(ranks=4), (x,), ("bfloat16",))


@dataclass(frozen=True)
class AllGather(_GroupOp):
    """x -> parts of all ranks joined along ``axis`` in rank order."""

    axis: int = -1

    def _kind(self) -> str:
        return "all_gather"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``axis`` grows by the number of ranks."""
        x = self._checked(inputs[0])
        return (replace_dim(x, self.axis, x.shape[axis_of(x, self.axis)] * self.ranks),)

    def exchange(self, per_rank: Ranks) -> tuple[Ranks, list[int]]:
        """Ring all-gather."""
        held, sent = gather_ring([a[0] for a in per_rank], self._width())
        return [(np.concatenate(h, axis=self.axis),) for h in held], sent

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One and four ranks, last and first axis."""
        x = rng(6).normal(size=(2, 3))
        return tuple(Example(cls(ranks=n, axis=a), (x,), ("bfloat16",)) for n, a in ((1, -1), (4, -1), (4, 0)))


@dataclass(frozen=True)
class ReduceScatter(_GroupOp):
    """x -> block r along ``axis`` of the sum over the ranks, on rank r."""

    axis: int = 0

    def _kind(self) -> str:
        return "reduce_scatter"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``axis`` shrinks by the number of ranks."""
        x = self._checked(inputs[0])
        return (replace_dim(x, self.axis, share_of(x.shape[axis_of(x, self.axis)], self.ranks)),)

    def exchange(self, per_rank: Ranks) -> tuple[Ranks, list[int]]:
        """Ring reduce-scatter."""
        n = len(per_rank)
        blocks = [np.array_split(a[0], n, axis=self.axis) for a in per_rank]
        sums, sent = scatter_reduce_ring(blocks, self._width())
        return [(s,) for s in sums], sent

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One and four ranks."""
        x = rng(7).normal(size=(8, 4))
        return tuple(Example(cls(ranks=n, axis=a), (x,), ("bfloat16",)) for n, a in ((1, 0), (4, 0), (4, -1)))


@dataclass(frozen=True)
class AllToAll(_GroupOp):
    """x -> block s along ``split_axis`` goes to rank s; received blocks join along ``concat_axis`` in order."""

    split_axis: int = 0
    concat_axis: int = 0

    def _kind(self) -> str:
        return "all_to_all"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """``split_axis`` shrinks, ``concat_axis`` grows by the number of ranks."""
        x = self._checked(inputs[0])
        split = axis_of(x, self.split_axis)
        cut = replace_dim(x, split, share_of(x.shape[split], self.ranks))
        joined = axis_of(x, self.concat_axis)
        return (replace_dim(cut, joined, cut.shape[joined] * self.ranks),)

    def exchange(self, per_rank: Ranks) -> tuple[Ranks, list[int]]:
        """Pairwise: every rank sends n - 1 blocks and keeps one."""
        n = len(per_rank)
        blocks = [np.array_split(a[0], n, axis=self.split_axis) for a in per_rank]
        outputs: Ranks = [(np.concatenate([blocks[s][r] for s in range(n)], axis=self.concat_axis),) for r in range(n)]
        width = self._width()
        return outputs, [round(sum(b.size for r, b in enumerate(blocks[s]) if r != s) * width) for s in range(n)]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """Head-to-sequence exchange (Ulysses) on four ranks."""
        x = rng(8).normal(size=(8, 4, 3))
        return (
            Example(cls(), (x,), ("bfloat16",)),
            Example(cls(ranks=4, split_axis=1, concat_axis=0), (x,), ("bfloat16",)),
            Example(cls(ranks=4, split_axis=0, concat_axis=0), (x,), ("bfloat16",)),
        )


@dataclass(frozen=True)
class SendRecv(_GroupOp):
    """x -> x of rank (r - shift) mod ranks: a ring step, or a pipeline boundary whose wrap-around is ignored."""

    shift: int = 1

    def _kind(self) -> str:
        return "send_recv"

    def infer(self, *inputs: TensorSpec) -> tuple[TensorSpec, ...]:
        """Same as the input."""
        return (self._checked(inputs[0]),)

    def exchange(self, per_rank: Ranks) -> tuple[Ranks, list[int]]:
        """Every rank sends its whole input once."""
        n = len(per_rank)
        moves = self.shift % n != 0
        sent = [round(a[0].size * self._width()) if moves else 0 for a in per_rank]
        return [(per_rank[(r - self.shift) % n][0],) for r in range(n)], sent

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One and four ranks."""
        x = rng(9).normal(size=(3, 2))
        return Example(cls(), (x,), ("bfloat16",)), Example(cls(ranks=4), (x,), ("bfloat16",))
