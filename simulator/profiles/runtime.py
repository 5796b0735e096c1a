"""Software stack of a deployment: how it launches kernels, which fusions it has, what its host costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.profiles.fields import Ratio, Seconds


@dataclass(frozen=True, slots=True)
class Host:
    """CPU time that no kernel hides.

    step, sequence: per engine step, and on top per running sequence (scheduling, sampling). first_token: once per
    request between its last prompt chunk and the client. eager_layer: host dispatch of one layer of a prefill that is
    not replayed from a graph; such a step takes at least as long. request, prompt_token: front end (HTTP, tokenizer),
    one server for all requests, per request and per token. prompt_share: rate that the kernels of prompt steps sustain
    in an engine, over the rate of the same kernels one at a time (gaps between launches, clocks under the power cap).
    handoff: once per request of separate pools, on top of the transfer of its cache: the router, the rendezvous of the two
    workers, the polls at which each sees that the other is done.
    """

    step: Seconds
    sequence: Seconds
    first_token: Seconds
    eager_layer: Seconds
    request: Seconds
    prompt_token: Seconds
    prompt_share: Ratio = 1.0
    handoff: Seconds = 0.0


@dataclass(frozen=True, slots=True)
class Training:
    """Rates that kernels sustain in a training step over the rate of the same kernels one at a time.

    sustained: projections, attention and vector passes (clocks under the power cap, casts and transposes of low-precision
    operands). experts: routing, permutation and expert products (padding, unfused routing, host in the loop).
    """

    sustained: Ratio
    experts: Ratio


@dataclass(frozen=True, slots=True)
class Runtime:
    """A stack such as vllm, sglang, trtllm, jax, cann, or a kernel library such as deepgemm.

    vendors: whose devices it runs on. launch: kernels replayed from a captured graph or launched one by one.
    schedule: prompts share steps with decodes (mixed) or get steps of their own (prefill_first). fusions: names of
    the fusion passes it applies, in order. host: only of stacks that serve. training: of those that train. aliases:
    other spellings of its name. closest: stacks whose kernels stand in, best first, where it has none of a family.
    reference: it stands in for stacks of its vendors that nobody described. output_reserve: share of a request's
    output that admission sets aside in the KV cache (1 = no request is ever evicted).
    """

    name: str
    vendors: tuple[Literal["nvidia", "google", "huawei"], ...]
    launch: Literal["graph", "eager"] = "graph"
    schedule: Literal["mixed", "prefill_first"] = "mixed"
    fusions: tuple[str, ...] = ()
    host: Host | None = None
    aliases: tuple[str, ...] = ()
    closest: tuple[str, ...] = ()
    reference: bool = False
    output_reserve: Ratio = 1.0
    training: Training | None = None
    description: str = ""
