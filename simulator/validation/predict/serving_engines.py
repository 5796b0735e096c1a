"""Engines behind serving rows: profiles resolved once, step tables built once per distinct engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from simulator.models.formats import Formats
from simulator.models.layout import Layout
from simulator.models.memory import memory
from simulator.profiles import list_names
from simulator.profiles.model import Model
from simulator.profiles.runtime import Host
from simulator.profiles.scenario import Decode, Parallel, Phases, Scenario, Speculative
from simulator.serving.engine import Engine, Frontend
from simulator.serving.step_table import DecodeTable, PrefillTable, StepTable
from simulator.study.deployment import Deployment, assemble
from simulator.study.node_cost import Machine
from simulator.study.step_tables import decode_table, prefill_table
from simulator.validation.predict.serving_formats import formats_for
from simulator.validation.predict.systems import system_for

MEMORY_SHARE = 0.92
RESERVED_BYTES = 3e9
SMALLEST_CACHE = (
    0.1  # what was measured did fit: a tenth of memory holds caches, however large the weights are taken to be
)
NO_HOST = Host(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Key:
    """What decides the step times of an engine."""

    model: str
    device: str
    runtime: str
    precision: str
    layout: Layout
    drafts: int = 0


@lru_cache(maxsize=1)
def known_models() -> frozenset[str]:
    """Names of all models."""
    return frozenset(list_names("model"))


@dataclass(slots=True)
class Fleet:
    """Engines by key; tables are made when first asked for. hosts: host values that replace those of a runtime (fits)."""

    deployments: dict[Key, Deployment] = field(default_factory=dict)
    machines: dict[tuple[str, str, str], Machine] = field(default_factory=dict)
    decodes: dict[tuple[Key, int], DecodeTable] = field(default_factory=dict)
    prefills: dict[Key, PrefillTable] = field(default_factory=dict)
    capacities: dict[Key, float] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)

    def deployment(self, key: Key) -> Deployment:
        """The deployment of one replica."""
        if key not in self.deployments:
            sizes = key.layout
            system = system_for(key.device, sizes.devices)
            parallel = Parallel(tp=sizes.tp, pp=sizes.pp, dp=sizes.dp, ep=sizes.ep)
            scenario = Scenario(
                name=key.model,
                model=key.model,
                runtime=key.runtime,
                num_devices=parallel.devices,
                system=system.name,
                phases=Phases(decode=Decode(1, 1)),
                parallel=parallel,
                speculative=Speculative(key.drafts, 1.0) if key.drafts else None,
            )
            self.deployments[key] = assemble(scenario)
        return self.deployments[key]

    def formats(self, key: Key) -> Formats:
        """Number formats of an engine."""
        d = self.deployment(key)
        return formats_for(d.model, key.precision, d.device, d.runtime.name)

    def machine(self, key: Key) -> Machine:
        """Cost models of an engine."""
        d = self.deployment(key)
        name = (d.device.name, d.system.name, d.runtime.name)
        return self.machines.setdefault(name, Machine(d.device, d.system, d.runtime.name))

    def decode(self, key: Key, largest: int) -> DecodeTable:
        """Decode table up to ``largest`` sequences a rank (rounded up to a power of two)."""
        size = 1 << max(largest - 1, 1).bit_length()
        if (key, size) not in self.decodes:
            parts = self.deployment(key), key.layout, self.formats(key), self.machine(key)
            self.decodes[key, size] = decode_table(*parts, size, key.drafts)
        return self.decodes[key, size]

    def prefill(self, key: Key) -> PrefillTable:
        """Prefill table."""
        if key not in self.prefills:
            self.prefills[key] = prefill_table(self.deployment(key), key.layout, self.formats(key), self.machine(key))
        return self.prefills[key]

    def host(self, key: Key) -> Host:
        """Host values of an engine's runtime."""
        runtime = self.deployment(key).runtime
        return self.hosts.get(runtime.name) or runtime.host or NO_HOST

    def eager(self, key: Key) -> float:
        """Seconds in which the host of an engine launches a step kernel by kernel.

        Where every step is launched so, a slower core takes longer; graph engines prepare their rare eager steps ahead.
        """
        d = self.deployment(key)
        core = d.system.host.cpu_factor if d.runtime.launch == "eager" else 1.0
        return d.model.num_layers * kernels_per_layer(d.model) * self.host(key).eager_layer * core

    def transfer(self, key: Key, devices: int) -> float:
        """Seconds to send the cache of one prompt token out of a rank of ``key``; ``devices``: of all pools together.

        Every rank sends what it holds over its own port of the innermost tier that reaches the other pool.
        """
        system = system_for(key.device, devices)
        reaching = next((tier for _, tier in system.levels if tier.scope >= devices), system.scale_out)
        held = memory(self.deployment(key).model, key.layout, self.formats(key))
        return held.cache_per_token * system.ranks_per_device / reaching.bandwidth

    def cache_tokens(self, key: Key) -> float:
        """KV capacity of one rank in tokens."""
        if key not in self.capacities:
            self.capacities[key] = self._cache_tokens(key)
        return self.capacities[key]

    def _cache_tokens(self, key: Key) -> float:
        d = self.deployment(key)
        capacity = d.device.memory.capacity / d.ranks_per_device * MEMORY_SHARE - RESERVED_BYTES
        held = memory(d.model, key.layout, self.formats(key))
        least = SMALLEST_CACHE * capacity / held.cache_per_token if held.cache_per_token else 0.0
        return max(held.cache_tokens(capacity), least)

    def engine(
        self, key: Key, largest: int, phases: tuple[str, ...] = ("decode", "prefill"), **limits: float
    ) -> Engine:
        """The engine of ``key``; largest: sequences of a rank its decode table covers."""
        d = self.deployment(key)
        host = self.host(key)
        table = StepTable(
            self.decode(key, largest) if "decode" in phases else None,
            self.prefill(key) if "prefill" in phases else None,
        )
        front = Frontend(host.first_token, host.request, host.prompt_token)
        ranks = key.layout.dp * key.layout.pp
        return Engine(
            table,
            front,
            host.step,
            host.sequence,
            token_budget=int(limits.get("token_budget", 8192)),
            max_sequences=int(limits.get("max_sequences", 4096)),
            cache_tokens=max(self.cache_tokens(key), 1.0),
            schedule=d.runtime.schedule,
            ranks=ranks,
            poll_steps=int(limits.get("poll_steps", 1)),
            stream_steps=int(limits.get("stream_steps", 1)),
            output_reserve=d.runtime.output_reserve,
            accepted=limits.get("accepted", 1.0),
            eager=self.eager(key),
            prompt_share=host.prompt_share,
            graphs=d.runtime.launch == "graph",
        )


def kernels_per_layer(model: Model) -> float:
    """Kernels of an eager layer relative to a dense grouped-query one: latent or linear attention and experts add as many again."""
    more = model.mla is not None or model.delta_net is not None or model.compressed is not None
    return 1.0 + float(more) + float(model.moe is not None)
