"""Independent questions on all cores: answers in the order of the questions, the same as one after the other."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


def spread(workers: int) -> bool:
    """Whether work for ``workers`` processes will be dealt out: more than one, and processes that inherit what is loaded."""
    return min(workers, os.cpu_count() or 1) > 1 and "fork" in multiprocessing.get_all_start_methods()


def answers(ask: Callable[[Q], A], questions: Sequence[Q], workers: int, at_once: int = 1) -> Iterator[A]:
    """``ask`` of each question, on at most ``workers`` processes and cores. at_once: neighbours that one process takes."""
    if not spread(workers):
        yield from map(ask, questions)
        return
    size = min(workers, os.cpu_count() or 1)
    with ProcessPoolExecutor(size, mp_context=multiprocessing.get_context("fork")) as pool:
        yield from pool.map(ask, questions, chunksize=at_once)
