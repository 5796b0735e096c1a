"""Time of single steps of an engine, looked up fast: what the event loops call a few million times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from simulator.serving.engine import Engine
from simulator.serving.step_table import DecodeTable, PrefillTable


class StepClock:
    """Seconds of decode, prefill and mixed steps of ``engine``, host time included."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.decode_table: DecodeTable | None = engine.table.decode
        self.prefill_table: PrefillTable | None = engine.table.prefill
        self._rows: dict[int, tuple[list[float], list[float]]] = {}
        self._contexts = list(self.decode_table.contexts) if self.decode_table else []

    def host(self, sequences: int) -> float:
        """Host seconds of a step with ``sequences`` running on a rank."""
        return self.engine.host_step + self.engine.host_sequence * sequences

    def decode(self, running: int, context: float) -> float:
        """A decode step of ``running`` requests of the replica with ``context`` tokens each."""
        batch = -(-running // self.engine.ranks)
        return self._lookup(batch, context)[0] + self.host(batch)

    def prefill(self, chunks: Sequence[tuple[float, float]]) -> float:
        """A step of prompt chunks (new tokens, cached tokens) only."""
        device = self._linear(sum(c[0] for c in chunks), chunks) + self._attention(chunks)
        return device + self.host(len(chunks)) + self.engine.prefill_overhead

    def mixed(self, running: int, context: float, chunks: Sequence[tuple[float, float]]) -> float:
        """A step of ``running`` decodes and prompt chunks together."""
        batch = -(-running // self.engine.ranks)
        new = sum(c[0] for c in chunks)
        core = self._lookup(batch, context)[1] if running else 0.0
        device = self._linear(new + running, chunks, extra=batch) + self._attention(chunks) + core
        return device + self.host(batch + len(chunks)) + self.engine.prefill_overhead

    def _linear(self, tokens: float, chunks: Sequence[tuple[float, float]], extra: int = 0) -> float:
        table = self.prefill_table
        if table is None:
            return 0.0
        largest = max((c[0] for c in chunks), default=0.0) + extra
        per_rank = max(tokens / self.engine.ranks, largest if len(chunks) < self.engine.ranks else 0.0)
        x = max(per_rank, table.tokens[0])
        if x >= table.tokens[-1]:
            return float(table.linear[-1] * x / table.tokens[-1])
        return float(np.interp(x, table.tokens, table.linear))

    def _attention(self, chunks: Sequence[tuple[float, float]]) -> float:
        table = self.prefill_table
        if table is None or not chunks:
            return 0.0
        each = [float(table.attention_at(n, past)) for n, past in chunks]
        return max(sum(each) / self.engine.ranks, max(each))

    def _lookup(self, batch: int, context: float) -> tuple[float, float]:
        rows = self._rows.get(batch)
        if rows is None:
            rows = self._rows[batch] = self._row(batch)
        grid = self._contexts
        j = min(max(bisect_right(grid, context) - 1, 0), len(grid) - 2)
        v = max((context - grid[j]) / (grid[j + 1] - grid[j]), 0.0)
        seconds, core = rows
        return seconds[j] + v * (seconds[j + 1] - seconds[j]), core[j] + v * (core[j + 1] - core[j])

    def _row(self, batch: int) -> tuple[list[float], list[float]]:
        if self.decode_table is None:
            raise ValueError("the engine has no decode table")
        contexts = self.decode_table.contexts
        return self.decode_table.at(batch, contexts).tolist(), self.decode_table.core_at(batch, contexts).tolist()
