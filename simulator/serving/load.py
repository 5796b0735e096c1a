"""Offered load: the lengths of the requests and when they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

STEADY_REQUESTS = 1500  # beyond this many a longer run changes means by less than the spread of a measurement


@dataclass(frozen=True, slots=True)
class Lengths:
    """Prompt and output tokens of requests.

    uniform: between (1 - spread) and 1 times the nominal lengths. long_tail: exponential with the nominal lengths as means.
    drift: outputs stray this far to either side of their length. Clients of equal requests fall out of step in an engine that mixes
    prompts with decodes, where every prompt delays the others by another amount; only an idealised run keeps them together.
    """

    isl: int
    osl: int
    spread: float = 0.0
    kind: Literal["uniform", "long_tail"] = "uniform"
    drift: float = 0.0

    def draw(self, count: int, seed: int = 0) -> tuple[Ints, Ints]:
        """``count`` pairs, the same for the same arguments."""
        rng = np.random.default_rng(seed)
        if self.kind == "long_tail":
            return _whole(rng.exponential(self.isl, count)), _whole(rng.exponential(self.osl, count))
        isl, osl = (1.0 - self.spread * rng.random(count) for _ in range(2))
        osl = osl * (1.0 + self.drift * (2.0 * rng.random(count) - 1.0))
        return _whole(self.isl * isl), _whole(self.osl * osl)


def _whole(sizes: Floats) -> Ints:
    return np.maximum(np.ceil(sizes), 1.0).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Load:
    """requests: prompts of the whole run. concurrency: clients of a closed loop. rate: Poisson arrivals per second instead
    (0 = closed loop; a burst is a closed loop of as many clients as requests)."""

    lengths: Lengths
    requests: int
    concurrency: int
    rate: float = 0.0

    @property
    def closed(self) -> bool:
        """Whether clients wait for an answer before they ask again (a burst of all requests at once does not count)."""
        return self.rate == 0 and self.concurrency < self.requests

    def first_arrivals(self) -> Floats:
        """Times of the requests that no answer triggers, seconds."""
        if self.rate > 0:
            gaps = np.random.default_rng(1).exponential(1.0 / self.rate, self.simulated)
            return np.asarray(np.cumsum(gaps), dtype=np.float64)
        return np.zeros(min(self.concurrency, self.simulated))

    @property
    def simulated(self) -> int:
        """Requests worth simulating: all of a short run; of a long one the burst, the end and enough in between."""
        if not self.closed or self.requests <= STEADY_REQUESTS:
            return self.requests
        return min(self.requests, max(STEADY_REQUESTS, 4 * self.concurrency))

    def weights(self) -> Floats:
        """Weight of each simulated request in the means of the whole run."""
        n, c = self.simulated, min(self.concurrency, self.simulated)
        weights = np.ones(n)
        if n < self.requests and n > 2 * c:
            weights[c : n - c] = (self.requests - 2 * c) / (n - 2 * c)
        return weights
