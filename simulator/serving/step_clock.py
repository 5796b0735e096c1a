"""Time of single steps of an engine, looked up fast: what the event loops call a few million times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from simulator.serving.engine import Engine
from simulator.serving.step_table import DecodeTable, Floats

Chunks = Sequence[tuple[float, float]]
"""Prompt chunks of a step: (new tokens, tokens already cached)."""


class StepClock:
    """Seconds of decode, prefill and mixed steps of ``engine``, host time included."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._decodes: dict[int, tuple[list[float], list[float]]] = {}
        self._contexts = _floats(engine.table.decode.contexts) if engine.table.decode else []
        prefill = engine.table.prefill
        self._tokens = _floats(prefill.tokens) if prefill else []
        self._pasts = _floats(prefill.pasts) if prefill else []
        self._linear = _floats(prefill.linear) if prefill else []
        self._attention: list[list[float]] = prefill.attention.tolist() if prefill else []

    def host(self, sequences: int) -> float:
        """Host seconds of a step with ``sequences`` running on a rank."""
        return self.engine.host_step + self.engine.host_sequence * sequences

    def decode(self, running: int, context: float) -> float:
        """A decode step of ``running`` requests of the replica with ``context`` tokens each."""
        batch = -(-running // self.engine.ranks)
        seconds, _core = self._decode_rows(batch)
        device = _line(self._contexts, seconds, context)
        return (device if self.engine.graphs else max(device, self.engine.eager)) + self.host(batch)

    def prefill(self, chunks: Chunks) -> float:
        """A step of prompt chunks only."""
        device = self._projections(sum(c[0] for c in chunks), chunks) + self._scores(chunks)
        return self._launched(device) + self.host(len(chunks))

    def mixed(self, running: int, context: float, chunks: Chunks) -> float:
        """A step of ``running`` decodes and prompt chunks together."""
        batch = -(-running // self.engine.ranks)
        tokens = sum(c[0] for c in chunks) + running
        core = _line(self._contexts, self._decode_rows(batch)[1], context) if running else 0.0
        device = self._projections(tokens, chunks, batch) + self._scores(chunks) + core
        return self._launched(device) + self.host(batch + len(chunks))

    def _launched(self, device: float) -> float:
        """A step with prompts: kernels at their sustained rate, but not before the host has launched them."""
        return max(device / self.engine.prompt_share, self.engine.eager)

    def _projections(self, tokens: float, chunks: Chunks, decodes: int = 0) -> float:
        """Everything but attention; a rank holds at least the largest chunk when there are fewer chunks than ranks."""
        ranks, grid = self.engine.ranks, self._tokens
        if not grid:
            raise ValueError("the engine has no prefill table")
        share = tokens / ranks
        if ranks > 1 and len(chunks) < ranks:
            share = max(share, decodes + max((c[0] for c in chunks), default=0.0))
        if share >= grid[-1]:
            return self._linear[-1] * share / grid[-1]
        return _line(grid, self._linear, max(share, grid[0]))

    def _scores(self, chunks: Chunks) -> float:
        """Attention of the chunks: the busiest rank, taken as the mean or the largest chunk."""
        if not chunks:
            return 0.0
        each = [self._score(tokens, past) for tokens, past in chunks]
        return sum(each) if self.engine.ranks == 1 else max(sum(each) / self.engine.ranks, max(each))

    def _score(self, tokens: float, past: float) -> float:
        grid = self._tokens
        i = min(max(bisect_right(grid, tokens) - 1, 0), len(grid) - 2)
        u = max((tokens - grid[i]) / (grid[i + 1] - grid[i]), 0.0)
        low = _line(self._pasts, self._attention[i], past)
        return low + u * (_line(self._pasts, self._attention[i + 1], past) - low)

    def _decode_rows(self, batch: int) -> tuple[list[float], list[float]]:
        rows = self._decodes.get(batch)
        if rows is None:
            table = self.engine.table.decode
            if table is None:
                raise ValueError("the engine has no decode table")
            rows = self._decodes[batch] = _decode_rows(table, batch)
        return rows


def _decode_rows(table: DecodeTable, batch: int) -> tuple[list[float], list[float]]:
    return _floats(table.at(batch, table.contexts)), _floats(table.core_at(batch, table.contexts))


def _line(grid: list[float], values: list[float], at: float) -> float:
    """Piecewise linear; the last slope goes on beyond the grid, the first value holds before it."""
    j = min(max(bisect_right(grid, at) - 1, 0), len(grid) - 2)
    v = max((at - grid[j]) / (grid[j + 1] - grid[j]), 0.0)
    return values[j] + v * (values[j + 1] - values[j])


def _floats(values: Floats) -> list[float]:
    found: list[float] = values.tolist()
    return found
