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
    """Prompt and output tokens. spread: lengths are uniform between (1 - spread) and 1 times the nominal ones; "sharegpt": a
    long-tailed (exponential) mix with the nominal ones as means."""

    isl: int
    osl: int
    spread: float = 0.0
    kind: Literal["uniform", "long_tail"] = "uniform"

    def draw(self, count: int, seed: int = 0) -> tuple[Ints, Ints]:
        """``count`` pairs, the same for the same arguments."""
        rng = np.random.default_rng(seed)
        pairs = []
        for nominal in (self.isl, self.osl):
            if self.kind == "long_tail":
                sizes = np.ceil(rng.exponential(nominal, count))
            else:
                sizes = np.ceil(nominal * (1.0 - self.spread * rng.random(count)))
            pairs.append(np.maximum(sizes, 1).astype(np.int64))
        return pairs[0], pairs[1]


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
