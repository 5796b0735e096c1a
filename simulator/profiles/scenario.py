"""Scenario: one deployment and the work it does. Names other profiles; carries only choices, no hardware figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from simulator.profiles.dtypes import FORMATS
from simulator.profiles.fields import PerSecond, Ratio, Seconds
from simulator.profiles.routing import Routing

NATIVE = "native"
"""Format name that stands for the format of the released checkpoint."""


@dataclass(frozen=True, slots=True)
class Parallel:
    """Sizes of the parallel groups. vLLM's spellings (tensor_parallel_size ...) are read as these names.

    tp, pp: tensor and pipeline parallel. dp: attention replicas. cp: prefill context parallel, multiplies the devices
    of a replica. dcp: decode context parallel, splits the KV cache inside a tensor-parallel group. ep: ranks that share
    the experts of a layer; the experts of one rank are split over the remaining ``moe_tp``. sequence_parallel: the residual
    stream is split over tp by tokens (always so where experts meet tp > 1 and dp or cp > 1).
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    cp: int = 1
    dcp: int = 1
    redundant_experts: int = 0
    sequence_parallel: bool = False

    def __post_init__(self) -> None:
        for name in ("tp", "pp", "dp", "ep", "cp", "dcp"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if (self.tp * self.dp * self.cp) % self.ep:
            raise ValueError(f"ep {self.ep} must divide tp x dp x cp = {self.tp * self.dp * self.cp}")
        if self.tp % self.dcp:
            raise ValueError(f"dcp {self.dcp} must divide tp {self.tp}")

    @property
    def devices(self) -> int:
        """Devices of the deployment."""
        return self.tp * self.pp * self.dp * self.cp

    @property
    def moe_tp(self) -> int:
        """Ranks that share one expert."""
        return self.tp * self.dp * self.cp // self.ep


@dataclass(frozen=True, slots=True)
class Prefill:
    """Prefill of some prompts, in one step or chunk by chunk.

    batch: prompts per replica. isl: prompt tokens of each. prefix_len: how many of them are already in the KV cache.
    chunk: most new tokens of a replica in a step (vLLM's max_num_batched_tokens); without it all go in one step.
    parallel: this phase's own layout (disaggregated deployments), else the scenario's.
    """

    batch: int
    isl: int
    prefix_len: int = 0
    chunk: int | None = None
    parallel: Parallel | None = None

    def __post_init__(self) -> None:
        _at_least(1, batch=self.batch, isl=self.isl)
        if self.chunk is not None:
            _at_least(1, chunk=self.chunk)
        if not 0 <= self.prefix_len < self.isl:
            raise ValueError(f"prefix_len must be at least 0 and below isl {self.isl}, not {self.prefix_len}")

    @property
    def tokens(self) -> int:
        """New tokens per replica."""
        return self.batch * (self.isl - self.prefix_len)


@dataclass(frozen=True, slots=True)
class Decode:
    """One decode step.

    batch: sequences per replica. context: mean tokens in the KV cache of each (the new one included). osl: output
    tokens of a whole request. parallel: as in Prefill.
    """

    batch: int
    context: int
    osl: int = 1
    parallel: Parallel | None = None

    def __post_init__(self) -> None:
        _at_least(1, batch=self.batch, context=self.context, osl=self.osl)


@dataclass(frozen=True, slots=True)
class MixedPrefill:
    """Prompt chunks inside a mixed step.

    batch: prompts per replica that take part. tokens: new tokens of each in the step. prefix_len: tokens of each already
    in the KV cache.
    """

    batch: int
    tokens: int
    prefix_len: int = 0

    def __post_init__(self) -> None:
        _at_least(1, batch=self.batch, tokens=self.tokens)
        _at_least(0, prefix_len=self.prefix_len)

    @property
    def new_tokens(self) -> int:
        """New tokens per replica in the step."""
        return self.batch * self.tokens


@dataclass(frozen=True, slots=True)
class Mixed:
    """One engine step that decodes running requests and prefills prompt chunks together. parallel: as in Prefill."""

    decode: Decode
    prefill: MixedPrefill
    parallel: Parallel | None = None

    def __post_init__(self) -> None:
        if self.decode.parallel is not None:
            raise ValueError("decode: a mixed step has one layout; give phases.mixed.parallel")


Phase = Prefill | Decode | Mixed


@dataclass(frozen=True, slots=True)
class Phases:
    """The steps a scenario asks about."""

    prefill: Prefill | None = None
    decode: Decode | None = None
    mixed: Mixed | None = None

    def named(self) -> dict[str, Phase]:
        """The phases that are given, by name."""
        return {n: p for n in ("prefill", "decode", "mixed") if (p := getattr(self, n)) is not None}


@dataclass(frozen=True, slots=True)
class Formats:
    """Number formats by part, names of ``dtypes.FORMATS``; native = as the checkpoint was released.

    weights, activations: attention and dense projections. experts: routed experts. dispatch, combine: expert exchange.
    """

    weights: str = NATIVE
    activations: str = NATIVE
    kv_cache: str = NATIVE
    experts: str = NATIVE
    dispatch: str = NATIVE
    combine: str = "bfloat16"

    def __post_init__(self) -> None:
        for part in ("weights", "activations", "kv_cache", "experts", "dispatch", "combine"):
            name = getattr(self, part)
            if name != NATIVE and name not in FORMATS:
                raise ValueError(f"{part}: unknown number format {name!r}; known: {NATIVE}, {', '.join(FORMATS)}")


@dataclass(frozen=True, slots=True)
class Speculative:
    """Speculative decoding: what is kept of a step is given either as a length or as a rate.

    num_speculative_tokens: drafted per step. acceptance_length: mean tokens kept per step, the sure one included.
    acceptance_rate: probability that a draft is accepted once all drafts before it were.
    """

    num_speculative_tokens: int
    acceptance_length: float | None = None
    acceptance_rate: Ratio | None = None

    def __post_init__(self) -> None:
        _at_least(0, num_speculative_tokens=self.num_speculative_tokens)
        length, rate, most = self.acceptance_length, self.acceptance_rate, self.num_speculative_tokens + 1
        if length is None and rate is None:
            raise ValueError("needs acceptance_length or acceptance_rate")
        if length is not None and rate is not None:
            raise ValueError("acceptance_rate: acceptance_length is given too; give one of the two")
        if length is not None and not 1 <= length <= most:
            raise ValueError(f"acceptance_length must lie in 1 .. {most}, not {length}")
        if rate is not None and not 0 <= rate <= 1:
            raise ValueError(f"acceptance_rate must lie in 0 .. 1, not {rate}")

    @property
    def kept(self) -> float:
        """Mean tokens kept per step. Source: Leviathan et al. 2023 (arXiv 2211.17192), eq. 1: (1 - a^(k+1)) / (1 - a)."""
        if self.acceptance_length is not None:
            return self.acceptance_length
        return sum((self.acceptance_rate or 0.0) ** i for i in range(self.num_speculative_tokens + 1))


@dataclass(frozen=True, slots=True)
class Slo:
    """Service-level objectives of a request."""

    ttft: Seconds | None = None
    tpot: Seconds | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """A request-level run: engine limits and the load offered. Names as in ``vllm serve`` and ``vllm bench serve``.

    traffic: name of a traffic profile. request_rate: Poisson arrivals; concurrency: closed loop of that many clients;
    one of the two. mode: one pool, or separate prefill and decode pools (each with its phase's own layout).
    """

    traffic: str
    num_requests: int
    max_num_seqs: int
    max_num_batched_tokens: int
    concurrency: int | None = None
    request_rate: PerSecond | None = None
    block_size: int = 64
    device_memory_utilization: Ratio = 0.9
    mode: Literal["aggregated", "disaggregated"] = "aggregated"
    policy: str = "fcfs"
    prefix_caching: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least(1, num_requests=self.num_requests, max_num_seqs=self.max_num_seqs, block_size=self.block_size)
        _at_least(1, max_num_batched_tokens=self.max_num_batched_tokens)
        if self.concurrency is not None:
            _at_least(1, concurrency=self.concurrency)
        if self.concurrency is not None and self.request_rate is not None:
            raise ValueError("give concurrency or request_rate, not both")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One deployment doing one kind of work.

    model, system, device, runtime, prices: names of profiles. device may be left out (the system's), or system (the
    device's default). num_devices: always tp x pp x dp x cp. exchange: kernels of the expert exchange. overlap: two
    micro-batches hide communication. routing: how tokens choose experts and where these lie; expert_imbalance: instead of
    it, the busiest rank's expert load over the mean. phases: single steps; serving: a request-level run.
    """

    name: str
    model: str
    runtime: str
    num_devices: int
    system: str = ""
    device: str = ""
    description: str = ""
    phases: Phases = Phases()
    parallel: Parallel = Parallel()
    formats: Formats = Formats()
    exchange: Literal["low_latency", "normal"] = "normal"
    overlap: Literal["none", "two_micro_batch"] = "none"
    speculative: Speculative | None = None
    expert_imbalance: Ratio = 1.0
    routing: Routing = field(default_factory=Routing)
    prices: str = "rental-3yr"
    serving: Serving | None = None
    slo: Slo = Slo()

    def __post_init__(self) -> None:
        if not self.system and not self.device:
            raise ValueError("name a system or a device")
        if not self.phases.named() and self.serving is None:
            raise ValueError("name at least one of phases.prefill, phases.decode, phases.mixed, serving")
        if self.expert_imbalance < 1:
            raise ValueError(f"expert_imbalance must be at least 1, not {self.expert_imbalance}")
        if self.expert_imbalance > 1 and self.routing.distribution != "balanced":
            raise ValueError(f"expert_imbalance: routing {self.routing.distribution} says it too; give one of the two")
        split = self.serving is not None and self.serving.mode == "disaggregated"
        if not split and self.num_devices != self.parallel.devices:
            raise ValueError(f"num_devices {self.num_devices} is not tp x pp x dp x cp = {self.parallel.devices}")

    def layout(self, phase: Phase) -> Parallel:
        """Parallel layout of one of the phases."""
        return phase.parallel or self.parallel

    @property
    def drafts(self) -> int:
        """Tokens drafted per decode step."""
        return self.speculative.num_speculative_tokens if self.speculative else 0

    @property
    def kept(self) -> float:
        """Mean tokens a request keeps of a decode step."""
        return self.speculative.kept if self.speculative else 1.0


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
