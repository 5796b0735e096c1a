"""Closed loop over separate prefill and decode pools: prompts queue for a prefill worker, then join the decode pool."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np

from simulator.serving.engine import Engine, Outcome
from simulator.serving.load import Load
from simulator.serving.step_clock import StepClock


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """prefill: one prefill worker, of which there are ``prefill_workers``. decode: all decode workers as one engine whose ranks
    are those of every worker. transfer: seconds to hand the KV cache of one prompt token over. handoff: seconds a request
    waits for the hand-over to begin and to be seen."""

    prefill: Engine
    decode: Engine
    prefill_workers: int
    transfer: float = 0.0
    handoff: float = 0.0


def serve_disaggregated(pools: Pools, load: Load) -> Outcome:
    """Mean latencies and rates of the whole deployment under ``load``."""
    loop = _Loop(pools, load)
    loop.run()
    return loop.outcome()


class _Loop:
    def __init__(self, pools: Pools, load: Load) -> None:
        self.pools, self.load = pools, load
        self.prefill, self.decode = StepClock(pools.prefill), StepClock(pools.decode)
        self.count = load.simulated
        isl, osl = load.lengths.draw(self.count)
        self.isl: list[int] = isl.tolist()
        self.osl: list[int] = osl.tolist()
        self.sent, self.first, self.done = ([0.0] * self.count for _ in range(3))
        self.now = self.server_free = 0.0
        self.issued = self.finished = self.step = 0
        self.queue: deque[tuple[float, int]] = deque()
        self.free = [0.0] * pools.prefill_workers
        self.ready: list[tuple[float, int]] = []
        self.running: list[tuple[int, int]] = []
        self.context_total = self.cached = 0.0
        self.waiting: deque[int] = deque()

    def run(self) -> None:
        for at in self.load.first_arrivals().tolist():
            self._issue(at)
        while self.finished < self.count:
            self._start_prefills()
            self._join()
            if self.running:
                self._decode_jump()
            else:
                self.now = max(self.now, self._next_event())

    def _issue(self, at: float) -> None:
        i, front = self.issued, self.pools.decode.frontend
        if i < self.count:
            self.issued += 1
            self.sent[i] = at
            self.server_free = max(self.server_free, at) + front.request + front.prompt_token * self.isl[i]
            self.queue.append((self.server_free, i))

    def _start_prefills(self) -> None:
        """Starts every prefill step that begins by now."""
        engine = self.pools.prefill
        while self.queue:
            start = max(self.free[0], self.queue[0][0])
            if start > self.now:
                return
            budget, taken = engine.token_budget * engine.ranks, list[int]()
            while self.queue and self.queue[0][0] <= start and (not taken or self.isl[self.queue[0][1]] <= budget):
                taken.append(self.queue.popleft()[1])
                budget -= self.isl[taken[-1]]
            end = start + self.prefill.prefill([(float(self.isl[i]), 0.0) for i in taken])
            heapq.heapreplace(self.free, end)
            for i in taken:
                self.first[i] = end + self.pools.handoff + self.pools.transfer * self.isl[i]
                heapq.heappush(self.ready, (self.first[i], i))

    def _join(self) -> None:
        while self.ready and self.ready[0][0] <= self.now:
            self.waiting.append(heapq.heappop(self.ready)[1])
        engine = self.pools.decode
        while self.waiting and len(self.running) < engine.max_sequences:
            i = self.waiting[0]
            need = self.isl[i] + self.osl[i]
            if self.running and self.cached + need > engine.cache_tokens * engine.ranks:
                return
            self.waiting.popleft()
            steps = int(-(-(self.osl[i] - 1) // engine.accepted))
            self.cached += need
            self.context_total += self.isl[i] + 1
            heapq.heappush(self.running, (self.step + max(steps, 0), i))

    def _next_event(self) -> float:
        times = [self.ready[0][0]] if self.ready else []
        if self.queue:
            times.append(max(self.free[0], self.queue[0][0]))
        return min(times)

    def _decode_jump(self) -> None:
        running = len(self.running)
        steps = max(self.running[0][0] - self.step, 0)
        context, grows = self.context_total / running, 0.5 * self.pools.decode.accepted
        seconds = self.decode.decode(running, context + grows * steps)
        if self.ready or self.queue:
            seen = max(int(-(-(self._next_event() - self.now) // seconds)), 1)
            steps = min(steps, seen)
        self.now += steps * seconds
        self.step += steps
        self.context_total += steps * running * self.pools.decode.accepted
        while self.running and self.running[0][0] <= self.step:
            _, i = heapq.heappop(self.running)
            self.context_total -= self.isl[i] + self.osl[i]
            self.cached -= self.isl[i] + self.osl[i]
            self.done[i] = self.now
            self.finished += 1
            self._issue(self.now + self.pools.decode.frontend.first_token)

    def outcome(self) -> Outcome:
        weights = self.load.weights()
        sent, first, done = np.array(self.sent), np.array(self.first), np.array(self.done)
        osl, isl = np.array(self.osl), np.array(self.isl)
        constant = self.pools.decode.frontend.first_token
        latency = float(np.average(done - sent, weights=weights)) + constant
        rate = self.load.concurrency / latency
        return Outcome(
            float(np.average(first - sent, weights=weights)) + constant,
            float(np.average((done - first) / np.maximum(osl - 1, 1), weights=weights)),
            rate * float(osl.mean()),
            rate * float(isl.mean()),
        )
