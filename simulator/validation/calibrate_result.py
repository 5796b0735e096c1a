"""What a fit with held-out rows returns: scores of the rows it did not see, and the fitted figures."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from simulator.profiles import Figure, kernel_file, kernel_library

Array: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
K = TypeVar("K", bound=Hashable)
Place: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Slot:
    """A figure to fit: its name, its present value in SI, and the architecture whose efficiency it is ("": a stack value)."""

    name: str
    present: float
    architecture: str = ""


Unknown: TypeAlias = Callable[[Slot], float | None]


def no_rule(slot: Slot) -> float | None:
    """Says nothing of any figure: unknown ones are taken from their kin."""
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which rows of a table a fit may not see, and what is known of figures that no other row informs.

    sisters: a row counts as known only if every stack value behind it was fitted on other rows (devices of its generation
    that stay); else it is enough that its kernel was seen on some device.
    """

    held: Callable[[pd.DataFrame], Mask]
    unknown: Unknown = no_rule
    sisters: bool = True

    def knows(
        self, keys: Iterable[K], fitted: Container[K], seen: Container[Place], place: Callable[[K], Place]
    ) -> bool:
        """Whether a row that depends on the stack values ``keys`` counts as known.

        fitted: values that other rows inform. seen: (file, kernel entry) that served any other row; place: that of a key.
        """
        return all(k in fitted if self.sisters else place(k) in seen for k in keys)


SCORES = ("id", "family", "device", "measured", "before", "predicted", "known")


@dataclass(frozen=True, slots=True)
class FittedFigure:
    """A figure after the fit. place: dotted path inside ``file``; value, before: SI in ``unit``; rows behind it."""

    file: str
    place: str
    unit: str
    before: float
    value: float
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """scores: rows the fit did not see, with columns SCORES (seconds). figures: what was fitted on the others.

    known: False where no row of the fit informs the kernel of a row; its values were then taken from similar kernels.
    """

    scores: pd.DataFrame
    figures: tuple[FittedFigure, ...]


def scored(
    rows: pd.DataFrame, family: str, measured: Array, before: Array, predicted: Array, known: bool
) -> pd.DataFrame:
    """Score lines of ``rows`` (id and device are read from them)."""
    ids = rows["id"].to_numpy() if "id" in rows else np.arange(len(rows)).astype(str)
    columns = (ids, family, rows["device"].to_numpy(), measured, before, predicted, known)
    return pd.DataFrame(dict(zip(SCORES, columns, strict=True)))


def gathered(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All score lines as one table."""
    found = [p for p in parts if len(p)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(SCORES))


def with_unknown(
    fitted: Mapping[K, float],
    wanted: Mapping[K, Slot],
    others: Mapping[K, Slot],
    place: Callable[[K], Place],
    unknown: Unknown,
) -> dict[K, float]:
    """``fitted`` plus a value for each wanted key it lacks: what ``unknown`` says, else its nearest namesakes' mean.

    others: figures that no held row depends on; with the fitted ones they are the namesakes. place: (file, number) of a
    key; namesakes of the same file at the closest number (kernel entry, line) come first, then those of any file. A key
    without any namesake stays out: it keeps its present value.
    """
    known = {k: slot.present for k, slot in others.items() if k not in wanted} | dict(fitted)
    names = {k: slot.name for k, slot in {**others, **wanted}.items()}
    found = dict(fitted)
    for key, slot in wanted.items():
        if key in found:
            continue
        given = unknown(slot)
        value = _of_kin(known, names, key, place) if given is None else given
        if value is not None:
            found[key] = value
    return found


def _of_kin(known: Mapping[K, float], names: Mapping[K, str], key: K, place: Callable[[K], Place]) -> float | None:
    file, number = place(key)
    kin = [k for k in known if names[k] == names[key] and known[k] > 0]
    near = [(abs(place(k)[1] - number), k) for k in kin if place(k)[0] == file]
    chosen = [k for d, k in near if d == min(d for d, _ in near)] or kin
    return float(np.exp(np.mean([np.log(known[k]) for k in chosen]))) if chosen else None


def fitted_figure(figure: Figure, name: str, value: float, rows: int) -> FittedFigure:
    """``figure`` (an efficiency or a kernel's value called ``name``) after a fit on ``rows`` rows."""
    place = f"efficiencies.{name}"
    if kernel_library.KIND_FOLDER in Path(figure.file).parts:
        written = kernel_library.written_in(Path(figure.file))
        place = next(at for at, f in written.items() if f.line == figure.line)
    if "runtimes" in Path(figure.file).parts:
        lines = {
            f.line: at
            for at, f in kernel_file.written_in(Path(figure.file)).items()
            if f.file == figure.file and (at.startswith("shared.") or at.endswith(f".{name}"))
        }
        place = lines[figure.line]
    return FittedFigure(figure.file, place, figure.unit, figure.value, value, rows)


def errors_of(scores: pd.DataFrame, column: str = "predicted") -> Array:
    """|predicted / measured - 1| of score lines."""
    ratio = scores[column].to_numpy(dtype=np.float64) / scores["measured"].to_numpy(dtype=np.float64)
    return np.asarray(np.abs(ratio - 1.0))
