"""What a measurement family's ``predict`` returns, and the helpers every family shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# How firm a predicted row is: values fitted on this device's generation and stack; scaled from a sister generation or
# stack; or a guess from the datasheet alone.
FIDELITIES = ("calibrated", "derived", "estimated")


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Predicted time of each row of a measurement file, in the order of its rows.

    us: microseconds, NaN where the row is not supported. unsupported: "" or the reason. fidelity: one of FIDELITIES
    ("" where not supported).
    """

    us: FloatArray
    unsupported: list[str]
    fidelity: list[str]

    def __post_init__(self) -> None:
        if not len(self.us) == len(self.unsupported) == len(self.fidelity):
            raise ValueError(
                f"prediction columns differ in length: us {len(self.us)}, unsupported {len(self.unsupported)}, "
                f"fidelity {len(self.fidelity)}"
            )

    def put(self, index: npt.NDArray[np.intp], part: Prediction) -> None:
        """Write ``part`` (one entry per element of ``index``) into the rows ``index`` of this prediction."""
        self.us[index] = part.us
        for position, reason, fidelity in zip(index.tolist(), part.unsupported, part.fidelity, strict=True):
            self.unsupported[position] = reason
            self.fidelity[position] = fidelity


def blank(rows: int, reason: str = "not predicted") -> Prediction:
    """A prediction of ``rows`` rows, all unsupported for ``reason``; families fill it group by group with ``put``."""
    return Prediction(np.full(rows, np.nan), [reason] * rows, [""] * rows)


def supported(us: FloatArray, fidelity: str) -> Prediction:
    """A prediction whose rows are all supported at one fidelity."""
    count = len(us)
    return Prediction(np.asarray(us, dtype=np.float64), [""] * count, [fidelity] * count)


def worst(*fidelities: str) -> str:
    """The weakest of several fidelities."""
    return max(fidelities, key=FIDELITIES.index)
