"""Chunked prefill: which steps a prompt phase takes when a step holds at most so many new tokens.

First come, first served: prompts that fit into a step share it; a longer prompt takes several steps, each behind the tokens of
the steps before. A step never joins the end of one prompt with the start of the next, which an engine would.
Source: Sarathi-Serve (arXiv 2403.02310) section 4.1 for chunked prefills; vLLM's max_num_batched_tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.models.step import StepShape

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ChunkSteps:
    """Steps in order. shape: of all of them, an array each. times: repeats of each. point: of the sweep it belongs to."""

    shape: StepShape
    times: Counts
    point: Counts

    @property
    def last(self) -> StepShape:
        """The last step alone."""
        batch, new, context = (int(np.asarray(v)[-1]) for v in (self.shape.batch, self.shape.q_len, self.shape.kv_len))
        return StepShape("prefill", batch, new, context)


def chunk_steps(batches: npt.ArrayLike, prompts: npt.ArrayLike, cached: int, chunk: int) -> ChunkSteps:
    """Steps of ``batches`` prompts of ``prompts`` tokens, ``cached`` of them in the cache; one entry a point of a sweep."""
    rows: list[tuple[int, int, int, int, int]] = []
    for point, (batch, isl) in enumerate(
        zip(*np.broadcast_arrays(*map(np.atleast_1d, (batches, prompts))), strict=True)
    ):
        rows += [(point, *row) for row in _rows(int(batch), int(isl) - cached, cached, chunk)]
    point_of, batch_of, q, kv, times = np.array(rows, dtype=np.int64).T
    return ChunkSteps(StepShape("prefill", batch_of, q, kv), times, point_of)


def _rows(batch: int, new: int, cached: int, chunk: int) -> list[tuple[int, int, int, int]]:
    """(prompts, new tokens, context, how often) of each step."""
    if chunk >= new:
        together = min(chunk // new, batch)
        full, rest = divmod(batch, together)
        return [(together, new, cached + new, full)] + ([(rest, new, cached + new, 1)] if rest else [])
    if batch == 1:
        return [(1, min(chunk, new - done), cached + min(done + chunk, new), 1) for done in range(0, new, chunk)]
    return _rows(1, new, cached, chunk) * batch


def summed(values: npt.ArrayLike, steps: ChunkSteps) -> npt.NDArray[np.float64]:
    """Sum of a value of each step over all steps of its point."""
    weighted = np.broadcast_to(np.asarray(values, dtype=np.float64), steps.times.shape) * steps.times
    return np.asarray(np.bincount(steps.point, weights=weighted), dtype=np.float64)
