"""GPU rows of families nobody published for GPUs: the step simulator's own kernel choice, marked as an estimate."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from simulator.devices.kernel_cost import kernel_cost
from simulator.ops.work import Term
from simulator.profiles import ProfileError, load_device
from simulator.profiles.gpu import Gpu
from simulator.study.kernel_choice import choose
from simulator.validation.predict.prediction import Prediction, blank, supported
from simulator.validation.predict.stacks import runtime_of
from simulator.validation.predict.tpu_ascend import classes

TermOf = Callable[[Mapping[str, str], pd.DataFrame], Term]


def predict_gpu(rows: pd.DataFrame, term_of: TermOf) -> Prediction:
    """Time of GPU rows; ``term_of`` turns rows of one device, operator, stack and format into a work term."""
    result = blank(len(rows), "unknown device")
    for key, index, part in classes(rows, "device", "op", "fw", "dtype"):
        try:
            device = load_device(key["device"])
        except ProfileError:
            continue
        if not isinstance(device, Gpu):
            continue
        term = term_of(key, part)
        kernel = choose(term, device, runtime_of(key["fw"]) or "vllm", {}).kernel
        seconds = np.asarray(kernel_cost(term, device, kernel).seconds, dtype=np.float64)
        result.put(index, supported(np.broadcast_to(seconds * 1e6, index.shape), "estimated"))
    return result
