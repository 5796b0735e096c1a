"""Closed-loop serving evaluated from event to event: between two events the batch does not change, so decode steps are jumped.

A run starts with all clients at once and ends when the last request is done, as benchmark clients do. Between two changes of the
batch n decode steps take n times the step at the mean context of the stretch, so the cost does not depend on the output length.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

import numpy as np

from simulator.serving.engine import Engine, Outcome
from simulator.serving.load import Load
from simulator.serving.step_clock import StepClock


def serve(engine: Engine, load: Load, clock: StepClock | None = None) -> Outcome:
    """Mean latencies and rates of one replica under ``load``."""
    loop = ClosedLoop(engine, load, clock or StepClock(engine))
    loop.run()
    return loop.outcome()


class ClosedLoop:
    """State of one run: queue of arrivals, prompts in progress, running requests by the step at which they end."""

    def __init__(self, engine: Engine, load: Load, clock: StepClock) -> None:
        self.engine, self.load, self.clock = engine, load, clock
        self.count = load.simulated
        isl, osl = load.lengths.draw(self.count)
        self.isl: list[int] = isl.tolist()
        self.osl: list[int] = osl.tolist()
        self.sent = [0.0] * self.count
        self.first = [0.0] * self.count
        self.done = [0.0] * self.count
        self.now = self.server_free = 0.0
        self.issued = self.finished = 0
        self.queue: deque[tuple[float, int]] = deque()
        self.partial: deque[list[int]] = deque()  # [request, prompt tokens already cached]
        self.running: list[tuple[int, int]] = []
        self.step = self.since_poll = 0
        self.blocked = False  # the head of the queue waits for a slot or for cache
        self.context_total = self.cached = 0.0

    # -- clients -------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Plays the whole run."""
        for at in self.load.first_arrivals().tolist():
            self._issue(at)
        advance = self._mixed_step if self.engine.schedule == "mixed" else self._prefill_step
        while self.finished < self.count:
            self._admit()
            if self.partial:
                advance()
            elif self.running:
                self._decode_jump()
            else:
                self.now = max(self.now, self.queue[0][0])

    def _issue(self, at: float) -> None:
        i, front = self.issued, self.engine.frontend
        if i >= self.count:
            return
        self.issued += 1
        self.sent[i] = at
        self.server_free = max(self.server_free, at) + front.request + front.prompt_token * self.isl[i]
        self.queue.append((self.server_free, i))

    def outcome(self) -> Outcome:
        """Weighted means over requests; rates over the whole run."""
        weights = self.load.weights()
        sent, first, done = np.array(self.sent), np.array(self.first), np.array(self.done)
        osl, isl = np.array(self.osl), np.array(self.isl)
        constant = self.engine.frontend.first_token
        ttft = float(np.average(first - sent, weights=weights)) + constant
        each = (done - first) / np.maximum(osl - 1, 1)
        ttft += (self.engine.stream_steps - 1) * float(np.average(each, weights=weights))
        tpot = float(np.average(each[osl > 1], weights=weights[osl > 1])) if (osl > 1).any() else 0.0
        latency = float(np.average(done - sent, weights=weights)) + constant
        rate = self.load.concurrency / latency if self.load.closed else self.count / (float(done.max()) + constant)
        return Outcome(ttft, tpot, rate * float(osl.mean()), rate * float(isl.mean()))

    # -- engine --------------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Takes arrived prompts while slots and cache allow it."""
        engine = self.engine
        if self.running and self.since_poll < engine.poll_steps and not self.partial:
            return
        self.since_poll = 0
        self.blocked = False
        limit = engine.cache_tokens * engine.ranks
        while self.queue and self.queue[0][0] <= self.now:
            request = self.queue[0][1]
            active = len(self.running) + len(self.partial)
            need = self._reserved(request)
            self.blocked = active >= engine.max_sequences or (active > 0 and self.cached + need > limit)
            if self.blocked:
                return
            self.queue.popleft()
            self.cached += need
            self.partial.append([request, 0])

    def _reserved(self, request: int) -> float:
        """Cache tokens that admission counts for a request."""
        return self.isl[request] + self.engine.output_reserve * self.osl[request]

    def _chunks(self, budget: float) -> list[tuple[int, int, int]]:
        """(request, new tokens, cached tokens) of the next step, first come first served."""
        taken: list[tuple[int, int, int]] = []
        for request, past in self.partial:
            if budget < 1:
                break
            new = min(self.isl[request] - past, int(budget))
            taken.append((request, new, past))
            budget -= new
        return taken

    def _prefill_step(self) -> None:
        taken = self._chunks(self.engine.token_budget * self.engine.ranks)
        self.now += self.clock.prefill([(float(n), float(p)) for _, n, p in taken])
        self._prefilled(taken)
        self.since_poll = self.engine.poll_steps

    def _mixed_step(self) -> None:
        running = len(self.running)
        budget = max(self.engine.token_budget * self.engine.ranks - running, 1)
        taken = self._chunks(budget)
        context = self.context_total / running if running else 0.0
        self.now += self.clock.mixed(running, context, [(float(n), float(p)) for _, n, p in taken])
        self._decoded(1)
        self._prefilled(taken)

    def _prefilled(self, taken: Sequence[tuple[int, int, int]]) -> None:
        for request, new, past in taken:
            if past + new < self.isl[request]:
                self.partial[0][1] = past + new
                continue
            self.partial.popleft()
            self.first[request] = self.now
            steps = -(-(self.osl[request] - 1) // self.engine.accepted)
            if steps < 1:
                self._finish(request)
                continue
            heapq.heappush(self.running, (self.step + int(steps), request))
            self.context_total += self.isl[request] + 1

    def _decode_jump(self) -> None:
        """Decode steps until a request ends or an arrival is seen."""
        running = len(self.running)
        steps = self.running[0][0] - self.step
        context, grows = self.context_total / running, 0.5 * self.engine.accepted
        seconds = self.clock.decode(running, context + grows * steps)
        if self.queue and not self.blocked:
            seen = self._steps_until_seen(max(self.queue[0][0] - self.now, 0.0), seconds)
            if seen < steps:
                steps = seen
                seconds = self.clock.decode(running, context + grows * steps)
        self.now += steps * seconds
        self.since_poll += steps
        self._decoded(steps)

    def _steps_until_seen(self, wait: float, seconds: float) -> int:
        steps = max(int(-(-wait // seconds)), 1)
        poll = self.engine.poll_steps
        if poll <= 1:
            return steps
        position = self.since_poll + steps
        return max(-(-position // poll) * poll - self.since_poll, 1)

    def _decoded(self, steps: int) -> None:
        self.step += steps
        self.context_total += steps * len(self.running) * self.engine.accepted
        while self.running and self.running[0][0] <= self.step:
            _, request = heapq.heappop(self.running)
            self.context_total -= self.isl[request] + self.osl[request]
            self._finish(request)

    def _finish(self, request: int) -> None:
        self.done[request] = self.now
        self.cached -= self._reserved(request)
        self.finished += 1
        self._issue(self.now + self.engine.frontend.first_token)
