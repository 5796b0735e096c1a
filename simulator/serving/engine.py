"""An engine as the request level sees it: step times, host costs, limits and scheduling rule of one replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.serving.step_table import StepTable


@dataclass(frozen=True, slots=True)
class Frontend:
    """Client side and API server.

    first_token: seconds added to every first token (transport, detokenizer). request, prompt_token: seconds one server
    spends on a request and on each of its prompt tokens.
    """

    first_token: float
    request: float
    prompt_token: float


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """One replica.

    ranks: attention-data-parallel ranks, requests are spread evenly. host_step, host_sequence: seconds per step and per running
    sequence of a rank. token_budget: new tokens of a step on one rank. max_sequences: running requests of the replica.
    cache_tokens: KV capacity of one rank in tokens. output_reserve: share of a request's output that admission sets aside.
    schedule: prompts share steps with decodes, or get steps of their own.
    poll_steps: decode steps between two looks at the queue of arrivals. stream_steps: decode steps whose tokens are sent together,
    so that a client waits for them all before it sees the first. accepted: tokens kept per decode step.
    eager: host seconds to launch a step that no graph replays: one with prompts, and if graphs is False every step.
    prompt_share: see profiles.runtime.Host.
    """

    table: StepTable
    frontend: Frontend
    host_step: float
    host_sequence: float
    token_budget: int
    max_sequences: int
    cache_tokens: float
    output_reserve: float = 1.0
    schedule: Literal["mixed", "prefill_first"] = "mixed"
    ranks: int = 1
    poll_steps: int = 1
    stream_steps: int = 1
    accepted: float = 1.0
    eager: float = 0.0
    prompt_share: float = 1.0
    graphs: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What clients see. ttft, tpot: mean seconds; output_rate, input_rate: tokens per second of the replica."""

    ttft: float
    tpot: float
    output_rate: float
    input_rate: float
