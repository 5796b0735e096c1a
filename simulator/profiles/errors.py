"""Faults found in a profile: where, which field, what is wrong, what was given and what is allowed. One line each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_SHOWN = 60  # characters of a given value that are repeated back
_LONGEST = 100  # characters of a name that are compared with known names


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one field.

    line 0: the fault has no line (a whole file, an option of the command line). meant: path of the field that a
    misspelt key probably stands for; what is then missing there needs no word of its own.
    """

    file: str
    line: int
    field: str
    message: str
    given: str = ""
    allowed: str = ""
    meant: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        detail = "; ".join(
            part
            for part in (f"given {self.given}" if self.given else "", f"allowed {self.allowed}" if self.allowed else "")
            if part
        )
        text = ": ".join(part for part in (where, self.field, self.message) if part)
        return " ".join(f"{text} ({detail})".split() if detail else text.split())


class ProfileError(ValueError):
    """Bad input. ``faults`` lists everything found; ``str`` is one line per fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("\n".join(str(f) for f in self.faults))

    def __reduce__(self) -> tuple[type[ProfileError], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)


def fail(file: str, line: int, field: str, message: str, given: str = "", allowed: str = "") -> ProfileError:
    """A ProfileError with a single fault."""
    return ProfileError([Fault(file, line, field, message, given, allowed)])


def shown(value: object) -> str:
    """``value`` as a message repeats it: short and on one line."""
    if isinstance(value, dict):
        text = "a mapping"
    elif isinstance(value, (list, tuple)):
        text = "a list"
    elif value is None:
        text = "nothing"
    else:
        text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """'did you mean x?' for the closest known name, or ''."""
    close = closest(name, known)
    return f"did you mean {close!r}?" if close else ""


def closest(name: str, known: Iterable[str]) -> str:
    """The known name most like ``name``, or '' if none is."""
    import difflib

    folded = {k.lower(): k for k in known}
    match = difflib.get_close_matches(name.lower()[:_LONGEST], list(folded), n=1, cutoff=0.6)
    return folded[match[0]] if match else ""
