"""Energy rows: board power and joules per output token of a steady decode, and of static batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.models.step import StepShape
from simulator.profiles import load_model
from simulator.profiles.errors import ProfileError
from simulator.profiles.kernels import canonical_runtime
from simulator.profiles.runtime import Host
from simulator.study.activity import Activity, activity, watts
from simulator.validation.predict.families import ENERGY
from simulator.validation.predict.serving_engines import Fleet, Key, known_models
from simulator.validation.predict.serving_formats import label_of
from simulator.validation.predict.serving_rows import aggregated, count, generation, model_name, number
from simulator.validation.predict.systems import system_for

Floats = npt.NDArray[np.float64]
Row = Mapping[str, str]

PROMPTS = {"gpqa": 350, "lm-arena-chat": 350, "sourcegraph-fim": 1800}
"""Mean prompt tokens of the tasks, none of which is published. gpqa: estimated; chat turns and code around a hole: calibrated on the token
rates of the published energy rows, which fall below those of steps without prompts."""


@dataclass(frozen=True, slots=True)
class Run:
    """One row: sequences of a rank, lengths, ranks that hold sequences, and whether it is one batch without arrivals."""

    place: int
    batch: float
    isl: float
    osl: float
    groups: int
    devices: int
    static: bool


def predict(rows: pd.DataFrame) -> pd.DataFrame:
    """predicted_power_w_per_dev, predicted_j_per_out_tok, predicted_output_tok_s_per_dev, ``fidelity`` and ``unsupported``."""
    values = np.full((len(rows), 2), np.nan)
    reasons = [""] * len(rows)
    fleet = Fleet()
    for key, runs in _groups(rows, reasons).items():
        try:
            found = _evaluate(fleet, key, runs)
        except (ProfileError, ValueError, LookupError) as error:
            for run in runs:
                reasons[run.place] = " ".join(str(error).split())[:200] or type(error).__name__
            continue
        values[[r.place for r in runs]] = np.stack(found, axis=1)
    columns = (values[:, 0], values[:, 0] / values[:, 1], values[:, 1])
    fidelity = ["" if reason else "derived" for reason in reasons]
    found_columns = dict(zip(ENERGY, columns, strict=True))
    return pd.DataFrame({**found_columns, "fidelity": fidelity, "unsupported": reasons}, index=rows.index)


def _groups(rows: pd.DataFrame, reasons: list[str]) -> dict[tuple[Key, bool], list[Run]]:
    """Rows by engine and kind; ``reasons`` receives why a row cannot be predicted."""
    groups: dict[tuple[Key, bool], list[Run]] = {}
    for place, row in enumerate(rows.to_dict("records")):
        try:
            key, run = _resolved({str(k): v for k, v in row.items()}, place)
        except (ProfileError, ValueError, LookupError) as error:
            reasons[place] = " ".join(str(error).split())[:200]
            continue
        groups.setdefault((key, run.static), []).append(run)
    return groups


def _resolved(row: Row, place: int) -> tuple[Key, Run]:
    if not row["power_scope"].startswith("gpu_only"):
        raise ValueError(f"power of another scope than the devices: {row['power_scope']}")
    name = model_name(row["model"], known_models())
    if name not in known_models():
        raise ValueError(f"no model profile for {row['model']}")
    shape = {"pp": "1", "moe_tp": "", "dp_attn": row["dp"], **row}
    if count(row["ep"]) > max(count(row["tp"]), 1) * max(count(row["dp"]), 1):
        shape["tp"] = row["ep"]  # the sources give the expert group alone; engines lay attention over the same devices
    workers = aggregated(shape, load_model(name).moe is not None, system_for(row["device"], 1).ranks_per_device)
    runtime = generation(canonical_runtime(row["framework"]), row["framework_version"])
    key = Key(name, row["device"], runtime, label_of(row["weight_precision"], row["model"]), workers.layout)
    groups = workers.replicas * workers.layout.dp
    batch = number(row["avg_batch"])
    batch = number(row["max_num_seqs"]) if np.isnan(batch) else batch
    isl = count(row["isl"]) or PROMPTS.get(row["task"], 300)
    osl = max(number(row["osl_avg"]), 1.0)
    devices = max(count(row["num_devices"]), 1)
    return key, Run(place, max(batch / groups, 1.0), isl, osl, groups, devices, row["task"].startswith("static"))


def _evaluate(fleet: Fleet, group: tuple[Key, bool], runs: Sequence[Run]) -> tuple[Floats, Floats]:
    """(watts of one device, output tokens per second of one device) of each run."""
    key, static = group
    columns = (np.array([getattr(r, name) for r in runs]) for name in ("batch", "isl", "osl"))
    batch, isl, osl = (c.astype(np.float64) for c in columns)
    deployment, host = fleet.deployment(key), fleet.host(key)
    graphs, eager = deployment.runtime.launch == "graph", fleet.eager(key)
    joules = seconds = np.zeros_like(batch)
    for work, steps in (_static if static else _steady)(fleet, key, batch, isl, osl):
        device_time = work.seconds if graphs else np.maximum(work.seconds, steps * eager)
        if not static:
            device_time = device_time + _prompt_wait(device_time, batch / osl, host, eager)
        span = device_time + steps * (host.step + host.sequence * batch)
        joules = joules + span * watts(work, span, deployment.device, deployment.ranks_per_device, graphs=graphs)
        seconds = seconds + span
    share = np.array([r.groups / r.devices for r in runs])
    tokens = batch * osl if static else batch
    return joules / seconds, tokens * share / seconds


def _prompt_wait(device_time: Floats, joining: Floats, host: Host, eager: float) -> Floats:
    """Seconds that prompts add to a mean step beyond their work: ``joining`` prompts a step make a share of the steps ones that no
    graph replays, whose kernels run at ``prompt_share`` of their rate and not before the host has launched them."""
    with_prompts = -np.expm1(-joining)
    launched = np.maximum(device_time / host.prompt_share, eager)
    return np.asarray(with_prompts * (launched - device_time), dtype=np.float64)


def _steady(fleet: Fleet, key: Key, batch: Floats, isl: Floats, osl: Floats) -> list[tuple[Activity, Floats]]:
    """One mean step of a full engine: every sequence decodes, and as many prompts join as end (batch / osl of them)."""
    batch, joining = np.round(batch), np.round(batch / osl * isl)
    place = fleet.deployment(key), key.layout, fleet.formats(key), fleet.machine(key)
    both = np.concatenate([batch, batch + joining])
    context = np.tile(np.round(isl + osl / 2), 2)
    whole, core = activity(*place, StepShape("decode", both, 1, np.maximum(context, 2.0)))
    own, wide = slice(0, len(batch)), slice(len(batch), None)
    projections = whole.part(wide).plus(core.part(wide), -1.0)
    return [(projections.plus(core.part(own)), np.ones_like(batch))]


def _static(fleet: Fleet, key: Key, batch: Floats, isl: Floats, osl: Floats) -> list[tuple[Activity, Floats]]:
    """The prompt phase of a batch and all of its decode steps, each with its number of steps."""
    place = fleet.deployment(key), key.layout, fleet.formats(key), fleet.machine(key)
    prompt, _ = activity(*place, StepShape("prefill", batch, isl, isl))
    step, _ = activity(*place, StepShape("decode", batch, 1, np.round(isl + osl / 2)))
    rest = np.maximum(osl - 1, 1)
    return [(prompt, np.ones_like(batch)), (step.plus(step, rest - 1), rest)]
