"""Serving rows: mean TTFT, TPOT and token rates of published deployments."""

from __future__ import annotations

import numpy as np
import pandas as pd

from simulator.profiles.errors import ProfileError
from simulator.validation.predict.families import SERVING
from simulator.validation.predict.serving_cases import evaluate
from simulator.validation.predict.serving_engines import Fleet


def predict(rows: pd.DataFrame) -> pd.DataFrame:
    """predicted_ttft_ms, predicted_tpot_ms and per-device token rates of every row, ``fidelity`` and ``unsupported``."""
    fleet = Fleet()
    records = [_record(fleet, {str(k): v for k, v in row.items()}) for row in rows.to_dict("records")]
    return pd.DataFrame(records, index=rows.index, columns=[*SERVING, "fidelity", "unsupported"])


def _record(fleet: Fleet, row: dict[str, str]) -> dict[str, object]:
    try:
        found = evaluate(fleet, row)
    except (ProfileError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        return dict.fromkeys(SERVING, np.nan) | {"fidelity": "", "unsupported": reason}
    outcome = found.outcome
    values = (
        outcome.ttft * 1e3,
        outcome.tpot * 1e3,
        outcome.output_rate * found.replicas / found.devices,
        outcome.input_rate * found.input_replicas / found.devices,
    )
    shown = {name: value if value > 0 else np.nan for name, value in zip(SERVING, values, strict=True)}
    return shown | {"fidelity": found.fidelity, "unsupported": ""}
