"""Training rows: step time and tokens per second and device from the forward graph of one micro-batch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from simulator.devices.peaks import peak_flops
from simulator.models.formats import Formats, precision, supported
from simulator.models.graph import Node
from simulator.models.layout import Layout
from simulator.models.step import StepShape
from simulator.ops.work import Collective, ExpertExchange, Work
from simulator.profiles import load_model
from simulator.profiles.errors import ProfileError
from simulator.profiles.model import Model
from simulator.profiles.runtime import Training
from simulator.study.folded_graph import uses_of
from simulator.study.node_cost import graph_costs
from simulator.study.step_tables import folded
from simulator.training.backward import backward_share
from simulator.training.schedule import Plan, pipeline_seconds
from simulator.validation.predict.families import TRAINING
from simulator.validation.predict.serving_engines import Fleet, Key, known_models
from simulator.validation.predict.serving_rows import count

Row = Mapping[str, str]

NAMES = {
    "deepseekv3": "deepseek-v3",
    "deepseekv3-w/o-mtp": "deepseek-v3",
    "deepseek-v3-671b": "deepseek-v3",
    "gpt-oss-120b": "gpt-oss-120b",
    "llama3-8b": "llama-3.1-8b",
    "llama3.1-8b": "llama-3.1-8b",
    "llama3-70b": "llama-3.1-70b",
    "llama3-70b-2-node": "llama-3.1-70b",
    "llama3.1-70b": "llama-3.1-70b",
    "llama3.1-405b": "llama-3.1-405b",
    "llama4-scout-17b-16e": "llama-4-scout",
    "nemotron-3-nano": "nemotron-3-nano",
    "nemotron-v3-nano-30b": "nemotron-3-nano",
    "qwen3-235b": "qwen3-235b-a22b",
    "qwen3-next-80b-a3b": "qwen3-next-80b-a3b",
}
SCHEMES = (("nvfp4", "nvfp4"), ("mxfp8", "mxfp8"), ("fp8-mx", "mxfp8"), ("fp8", "fp8"))
DEFAULT_SEQUENCE = 4096
EXPERT_STAGES = ("gate", "dispatch", "experts", "combine")
UNHINDERED = Training(1.0, 1.0)


def predict(rows: pd.DataFrame) -> pd.DataFrame:
    """predicted_step_time_s, predicted_tokens_per_s_per_device, ``fidelity`` and ``unsupported``."""
    fleet = Fleet()
    records = [_record(fleet, {str(k): v for k, v in row.items()}) for row in rows.to_dict("records")]
    return pd.DataFrame(records, index=rows.index, columns=[*TRAINING, "fidelity", "unsupported"])


def _record(fleet: Fleet, row: Row) -> dict[str, object]:
    try:
        seconds, rate = _evaluate(fleet, row)
    except (ProfileError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return dict.fromkeys(TRAINING, math.nan) | {"fidelity": "", "unsupported": reason}
    return dict(zip(TRAINING, (seconds, rate), strict=True)) | {"fidelity": "estimated", "unsupported": ""}


def _evaluate(fleet: Fleet, row: Row) -> tuple[float, float]:
    """(seconds of a step, tokens per second of one device)."""
    if row["task"] not in ("pretrain", "sft"):
        raise ValueError(f"{row['task']} is not a plain training step")
    plan = _plan(row)
    model = load_model(_model(row["model"]))
    share = _expert_group(row, plan, model)
    layout = Layout(tp=plan.tp, dp=share, ep=max(count(row["ep"]), 1), sequence_parallel=plan.tp > 1)
    runtime = "jax" if row["device"].startswith("tpu") else "pytorch"
    key = Key(model.name, row["device"], runtime, row["precision"], layout)
    seconds = pipeline_seconds(plan, _micro_batch(fleet, key, plan))
    return seconds, plan.tokens / seconds / plan.devices


def _plan(row: Row) -> Plan:
    devices = max(count(row["n_devices"]), 1)
    sizes = {name: max(count(row[name], 1), 1) for name in ("tp", "pp", "cp")}
    replicas = max(devices // (sizes["tp"] * sizes["pp"] * sizes["cp"]), 1)
    micro = max(count(row["mbs"], 1), 1)
    sequences = count(row["gbs_seqs"]) or replicas * micro * 8 * sizes["pp"]
    length = count(row["seq_len"]) or DEFAULT_SEQUENCE
    return Plan(devices, sequences, micro, length, **sizes, virtual_stages=max(count(row["vp"], 1), 1))


def _model(text: str) -> str:
    name = text.lower().replace("_", "-").replace(" ", "-").split("-(26")[0].replace("(", "").replace(")", "")
    found = NAMES.get(name, name)
    if found not in known_models():
        raise ValueError(f"no model profile for {text}")
    return found


def _expert_group(row: Row, plan: Plan, model: Model) -> int:
    """Data-parallel ranks that share experts with one rank."""
    ep = max(count(row["ep"]), 1)
    return max(ep // plan.tp, 1) if model.moe is not None else 1


def _formats(model: Model, text: str, device_rates: frozenset[str]) -> Formats:
    name = text.lower()
    scheme = next((s for sign, s in SCHEMES if sign in name), "bfloat16")
    return supported(precision(model, scheme), device_rates)


def _micro_batch(fleet: Fleet, key: Key, plan: Plan) -> float:
    """Forward and backward seconds of one micro-batch through the whole model on the ranks of one pipeline."""
    deployment = fleet.deployment(key)
    formats = _formats(deployment.model, key.precision, frozenset(peak_flops(deployment.device)))
    tokens = plan.seq_len // plan.cp
    context = (plan.seq_len + tokens) // 2  # ranks of a context-parallel group take turns on short and long prefixes
    shape = StepShape("prefill", plan.micro_batch, tokens, context, sampled=tokens)
    graph = folded(deployment, key.layout, formats, shape)
    costs = graph_costs(graph, fleet.machine(key))
    uses = uses_of(graph)
    rates = deployment.runtime.training or UNHINDERED
    total = 0.0
    for node in graph.nodes:
        cost = costs[node.template]
        seconds = float(np.asarray(cost.cost.seconds))
        total += uses.get(node.layer, 1) * seconds * (1.0 + backward_share(cost.work)) / _share(node, cost.work, rates)
    return total


def _share(node: Node, work: Work, rates: Training) -> float:
    """Sustained rate of an operator; exchanges run at the rate of the fabric."""
    if any(isinstance(term, Collective | ExpertExchange) for term in work):
        return 1.0
    return rates.experts if node.stage in EXPERT_STAGES else rates.sustained
