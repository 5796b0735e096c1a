"""Energy rows: board power and joules per output token of a steady decode, and of static batches."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from simulator.profiles import load_model
from simulator.profiles.errors import ProfileError
from simulator.profiles.kernels import canonical_runtime
from simulator.serving.steady import SteadyLoad, steady_step
from simulator.study.activity import Activity, decode_activity, prefill_activity, power_of
from simulator.validation.predict.families import ENERGY
from simulator.validation.predict.serving_engines import Fleet, Key, known_models
from simulator.validation.predict.serving_formats import label_of
from simulator.validation.predict.serving_rows import aggregated, count, generation, model_name, number
from simulator.validation.predict.systems import system_for

PROMPTS = {"gpqa": 350, "lm-arena-chat": 200, "sourcegraph-fim": 500}
"""Mean prompt tokens of the tasks, none of which is published. Assumed: multiple-choice questions, chat turns, code around a hole."""

Row = Mapping[str, str]


def predict(rows: pd.DataFrame) -> pd.DataFrame:
    """predicted_power_w_per_dev, predicted_j_per_out_tok, predicted_output_tok_s_per_dev, ``fidelity`` and ``unsupported``."""
    fleet = Fleet()
    records = [_record(fleet, row) for row in rows.to_dict("records")]
    return pd.DataFrame(records, index=rows.index, columns=[*ENERGY, "fidelity", "unsupported"])


def _record(fleet: Fleet, row: Row) -> dict[str, object]:
    try:
        watts, rate = _steady(fleet, row)
    except (ProfileError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return dict.fromkeys(ENERGY, np.nan) | {"fidelity": "", "unsupported": reason}
    values = dict(zip(ENERGY, (watts, watts / rate, rate), strict=True))
    return values | {"fidelity": "derived", "unsupported": ""}


def _steady(fleet: Fleet, row: Row) -> tuple[float, float]:
    """(watts of one device, output tokens per second of one device)."""
    if not row["power_scope"].startswith("gpu_only"):
        raise ValueError(f"power of another scope than the devices: {row['power_scope']}")
    key, replicas = _key(fleet, row)
    batch = number(row["avg_batch"])
    batch = (number(row["max_num_seqs"]) if np.isnan(batch) else batch) / (replicas * key.layout.dp)
    static = row["task"].startswith("static")
    isl = count(row["isl"]) or PROMPTS.get(row["task"], 300)
    load = SteadyLoad(max(batch, 1.0), isl, max(number(row["osl_avg"]), 1.0))
    decode = decode_activity(fleet.deployment(key), key.layout, fleet.formats(key), fleet.machine(key), load.batch, load.context)
    prefill = prefill_activity(fleet.deployment(key), key.layout, fleet.formats(key), fleet.machine(key), load.isl)
    engine = fleet.engine(key, int(np.ceil(load.batch + load.prompt_tokens)))
    step = steady_step(engine, load, together=static)
    work = Activity.mix(decode, prefill, load.osl if static else 1.0, load.batch if static else load.prompts, step.seconds)
    device = fleet.deployment(key).device
    rate = load.batch * step.tokens * replicas * key.layout.dp / step.seconds / max(count(row["num_devices"]), 1)
    return power_of(work, device), rate


def _key(fleet: Fleet, row: Row) -> tuple[Key, int]:
    name = model_name(row["model"], known_models())
    if name not in known_models():
        raise ValueError(f"no model profile for {row['model']}")
    full = {"pp": "1", "moe_tp": "", "dp_attn": row["dp"], **row}
    workers = aggregated(full, load_model(name).moe is not None, system_for(row["device"], 1).ranks_per_device)
    runtime = generation(canonical_runtime(row["framework"]), row["framework_version"])
    return Key(name, row["device"], runtime, label_of(row["weight_precision"], row["model"]), workers.layout), workers.replicas
