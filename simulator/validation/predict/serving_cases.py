"""What each kind of serving row asks for: a closed loop, a burst, Poisson arrivals, a static batch, or one phase alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.models.layout import Layout
from simulator.profiles import load_model, load_runtime
from simulator.profiles.kernels import canonical_runtime
from simulator.serving.batch import decode_phase, largest_batch, prefill_phase, static_batch
from simulator.serving.closed_loop import serve
from simulator.serving.disaggregated import Pools, serve_disaggregated
from simulator.serving.engine import Outcome
from simulator.serving.load import Load
from simulator.validation.predict.serving_engines import Fleet, Key, known_models
from simulator.validation.predict.serving_formats import label_of
from simulator.validation.predict.serving_rows import (
    Workers,
    aggregated,
    count,
    generation,
    lengths,
    model_name,
    number,
    phase_workers,
    speculation,
)
from simulator.validation.predict.systems import system_for

Row = Mapping[str, str]
SATURATED_BATCH = 1024
PROMPTS_PER_CLIENT = 10
POISSON_REQUESTS = 1000  # what vllm bench serve sends unless told otherwise
DRIFT = 0.07
STREAM = 10


@dataclass(frozen=True, slots=True)
class Found:
    """An outcome per replica and how many replicas and devices stand behind the row."""

    outcome: Outcome
    replicas: int
    devices: int
    fidelity: str
    input_replicas: int = 0


class UnsupportedRowError(ValueError):
    """A row that cannot be predicted; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row with its names resolved."""

    row: Row
    model: str
    experts: bool
    runtime: str
    label: str
    per_device: int
    drafts: int
    accepted: float

    def key(self, layout: Layout) -> Key:
        """Engine of a layout."""
        drafts = self.drafts if load_model(self.model).mtp is not None else 0
        return Key(self.model, self.row["device"], self.runtime, self.label, layout, drafts)

    @property
    def devices(self) -> int:
        """Devices of the row."""
        return max(count(self.row["num_devices"]), 1)


def evaluate(fleet: Fleet, row: Row) -> Found:
    """The outcome a row reports. UnsupportedRowError, ProfileError or ValueError: why it cannot be predicted."""
    case = _case(row)
    arrival = row["arrival"]
    if row["mode"] == "static_batch" or arrival == "static_batch":
        return _static(fleet, case)
    if arrival.startswith("phase_decode"):
        return _decode_only(fleet, case)
    if arrival.startswith("slo"):
        return _under_slo(fleet, case)
    if arrival.startswith(("phase_prefill", "single")):
        return _decode_step(fleet, case) if case.drafts or "decode" in row["model"] else _prefill_only(fleet, case)
    return _disaggregated(fleet, case) if row["mode"] == "disagg" else _aggregated(fleet, case)


def _case(row: Row) -> Case:
    name = model_name(row["model"], known_models())
    if name not in known_models():
        raise UnsupportedRowError(f"no model profile for {row['model']}")
    model = load_model(name)
    drafts, accepted = speculation(row["spec_decode"])
    return Case(
        row,
        name,
        model.moe is not None,
        generation(canonical_runtime(row["framework"]), row["framework_version"]),
        label_of(row["weight_precision"], row["model"]),
        system_for(row["device"], 1).ranks_per_device,
        drafts,
        accepted,
    )


def _limits(fleet: Fleet, key: Key) -> dict[str, Any]:
    """New tokens per step and running requests that engines default to on a device of this memory.

    Source: argument defaults of vLLM (70 GiB and more: 8192 and 1024, A100 and smaller: 2048 and 256) and SGLang.
    """
    device = fleet.deployment(key).device
    if key.runtime.startswith("sglang"):
        return {"token_budget": 16384 if device.memory.capacity > 160e9 else 8192, "max_sequences": 4096}
    large = device.memory.capacity >= 70 * 2**30 and device.architecture != "ampere"
    return {"token_budget": 8192 if large else 2048, "max_sequences": 1024 if large else 256}


def _stated_limits(row: Row) -> dict[str, Any]:
    """New tokens per step and running requests that the row says its engine was started with."""
    sequences = count(row["max_batch"]) if count(row["batch_is_derived"]) == 0 else 0
    tokens = re.search(r"max_num_batched_tokens=(\d+)", row.get("chunked_prefill", ""))
    found = {"max_sequences": sequences} if sequences > 0 else {}
    return found | ({"token_budget": int(tokens[1])} if tokens else {})


def _aggregated(fleet: Fleet, case: Case) -> Found:
    workers = aggregated(case.row, case.experts, case.per_device, _attention_groups(case))
    key = case.key(workers.layout)
    load = _load(case, workers.replicas)
    ranks = key.layout.dp * key.layout.pp
    limits = _limits(fleet, key) | _stated_limits(case.row)
    if load.closed:
        limits |= {"max_sequences": 1 << 20} | _stated_limits(case.row)
        limits |= _recipe(fleet, key, load.concurrency * workers.replicas)
    most = min(load.concurrency, int(limits["max_sequences"]))
    engine = fleet.engine(key, -(-most // ranks), accepted=case.accepted, **limits)
    return Found(serve(engine, load), workers.replicas, case.devices, "derived", workers.replicas)


def _attention_groups(case: Case) -> int:
    """KV heads of a model that an XLA stack serves; 0 for other stacks. Source: vllm-project/tpu-inference, serving recipes."""
    gqa = load_model(case.model).gqa
    vendors = load_runtime(case.runtime).vendors
    return gqa.kv_heads if gqa is not None and "google" in vendors else 0


def _recipe(fleet: Fleet, key: Key, clients: int) -> dict[str, float]:
    """Launch options of public recipes that decide when clients see a first token.

    SGLang with DeepSeek and Qwen3.5 on Blackwell: scheduler-recv-interval 10 below 16 clients, else 30; stream-interval 10.
    Source: public InferenceX launch scripts.
    """
    blackwell = fleet.deployment(key).device.architecture.startswith("blackwell")
    if key.runtime.startswith("sglang") and blackwell and key.model.startswith(("deepseek", "qwen3.5")):
        return {"poll_steps": 10 if clients < 16 else 30, "stream_steps": STREAM}
    return {}


def _load(case: Case, replicas: int) -> Load:
    row = case.row
    each = lengths(row)
    if not each.spread and load_runtime(case.runtime).schedule == "mixed":
        each = replace(each, drift=DRIFT)
    prompts = re.search(r"(\d+) (?:prompts|requests)", f"{row['arrival']} {row.get('length_dist', '')}")
    if row["arrival"].startswith(("all_at_t0", "offline")):
        total = max((int(prompts[1]) if prompts else 1000) // replicas, 1)
        return Load(each, total, total)
    rate = re.search(r"poisson (?:rate )?~?([\d.]+)", row["arrival"])
    if rate:
        total = max(int(prompts[1]) // replicas, 1) if prompts else POISSON_REQUESTS
        return Load(each, total, total, float(rate[1]) / replicas)
    clients = max(round(max(number(row["concurrency"]) if row["concurrency"] else 1.0, 1.0) / replicas), 1)
    return Load(each, PROMPTS_PER_CLIENT * clients, clients)


def _disaggregated(fleet: Fleet, case: Case) -> Found:
    prefill, decode = (phase_workers(case.row, p, case.per_device) for p in ("prefill", "decode"))
    if prefill is None or decode is None:
        raise UnsupportedRowError("the layout of the prefill or decode pool is not stated")
    clients = max(count(case.row["concurrency"]), 1)
    keys = case.key(prefill.layout), case.key(decode.layout)
    ranks = decode.replicas * decode.layout.dp
    first = fleet.engine(replace(keys[0], drafts=0), 1, ("prefill",), **_limits(fleet, keys[0]))
    second = fleet.engine(keys[1], -(-clients // ranks), ("decode",), accepted=case.accepted, max_sequences=1 << 20)
    transfer, handoff = fleet.transfer(keys[0], case.devices), fleet.host(keys[1]).handoff
    pools = Pools(first, replace(second, ranks=ranks), prefill.replicas, transfer, handoff)
    outcome = serve_disaggregated(pools, Load(lengths(case.row), PROMPTS_PER_CLIENT * clients, clients))
    return Found(outcome, 1, case.devices, "derived", 1)


def _alone(case: Case, phase: str) -> Workers:
    """Layout of one phase in isolation: as stated, else experts over all devices or tensor parallel."""
    stated = phase_workers(case.row, phase, case.per_device)
    ranks = case.devices * case.per_device
    if stated is not None:
        return replace(stated, replicas=max(ranks // stated.layout.devices, 1))
    if count(case.row["tp"]) or not case.experts:
        return aggregated(case.row, case.experts, case.per_device)
    return Workers(1, Layout(dp=ranks, ep=ranks))


def _decode_only(fleet: Fleet, case: Case) -> Found:
    workers = _alone(case, "decode")
    key = case.key(workers.layout)
    isl, osl = max(count(case.row["isl"], 1024), 1), count(case.row["osl"])
    context = isl + osl / 2
    batch = count(case.row["max_batch"]) * workers.layout.devices // case.per_device
    engine = fleet.engine(
        key, max(batch // key.layout.dp, SATURATED_BATCH if not batch else 1), ("decode",), accepted=case.accepted
    )
    if not batch:
        batch = largest_batch(engine, context, SATURATED_BATCH * key.layout.dp)
    return Found(decode_phase(engine, batch, context), workers.replicas, case.devices, "derived")


def _under_slo(fleet: Fleet, case: Case) -> Found:
    bound = re.search(r"tpot<=(\d+)ms", case.row["arrival"])
    layout = Layout(dp=32, ep=32) if case.experts else Layout(tp=8)
    engine = fleet.engine(case.key(layout), SATURATED_BATCH, accepted=case.accepted)
    each = lengths(case.row)
    batch = largest_batch(
        engine, each.isl + each.osl / 2, SATURATED_BATCH * layout.dp, float(bound[1]) * 1e-3 if bound else 1.0
    )
    outcome = serve(engine, Load(each, 2 * batch + 1, batch))
    return Found(outcome, case.devices // layout.devices, case.devices, "estimated", case.devices // layout.devices)


def _prefill_only(fleet: Fleet, case: Case) -> Found:
    workers = _alone(case, "prefill")
    key = case.key(workers.layout)
    engine = fleet.engine(replace(key, drafts=0), 1, ("prefill",))
    isl = max(count(case.row["isl"], 1024), 1)
    prompts = count(case.row["max_batch"]) or max(int(engine.token_budget // isl), 1)
    prompts = prompts * (workers.layout.dp if case.row["arrival"].startswith("phase_prefill_sat") else 1)
    outcome = prefill_phase(engine, prompts, isl)
    return Found(outcome, workers.replicas, case.devices, "derived", workers.replicas)


def _decode_step(fleet: Fleet, case: Case) -> Found:
    workers = _alone(case, "decode")
    key = case.key(workers.layout)
    batch = max(count(case.row["max_batch"]), 1)
    engine = fleet.engine(key, batch, ("decode",))
    return Found(
        decode_phase(engine, batch, max(count(case.row["isl"], 1024), 1)), workers.replicas, case.devices, "derived"
    )


def _static(fleet: Fleet, case: Case) -> Found:
    workers = aggregated(case.row, case.experts, case.per_device)
    key = case.key(workers.layout)
    batch = max(count(case.row["max_batch"]), 1)
    engine = fleet.engine(key, batch)
    outcome = static_batch(engine, batch, max(count(case.row["isl"], 1), 1), max(count(case.row["osl"], 1), 1))
    return Found(outcome, workers.replicas, case.devices, "derived", workers.replicas)
