"""Units: one table from a written unit to its dimension and its factor. Decimal and binary prefixes never mix.

A dimension is named after its base unit as in ``fields.py`` ("B/s", "FLOP/clk", "1" for ratios, "count"). Conversion is
done in decimal arithmetic, so "0.29 us" is exactly the float 2.9e-07 and a formatted quantity reads back unchanged.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache

_DECIMAL = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SMALL = {"m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9, "p": -12, "f": -15}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}

RATIO = "1"
COUNT = "count"

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(.*?)\s*", re.DOTALL | re.ASCII)
_MAX_LENGTH = 64


class UnitError(ValueError):
    """A text is not a quantity of the wanted dimension. ``given`` and ``allowed`` complete the message."""

    def __init__(self, message: str, given: str, allowed: str) -> None:
        self.message, self.given, self.allowed = message, given, allowed
        super().__init__(f"{message} (given {given}; allowed {allowed})")


def _scaled(symbol: str, base: str, prefixes: dict[str, int], factor: str = "1") -> dict[str, tuple[str, Decimal]]:
    return {p + symbol: (base, Decimal(factor) * Decimal(10) ** e) for p, e in prefixes.items()}


def _pick(*names: str) -> dict[str, int]:
    every = _DECIMAL | _SMALL
    return {n: every[n] for n in names}


def _build() -> dict[str, tuple[str, Decimal]]:
    one = Decimal(1)
    time = _pick("", "m", "u", "µ", "μ", "n", "p")
    energy = _pick("", "k", "M", "m", "u", "µ", "μ", "n", "p", "f")
    tiny = _pick("", "m", "u", "n", "p", "f")
    table: dict[str, tuple[str, Decimal]] = {}
    table |= _scaled("B", "B", _DECIMAL)
    table |= {p + "B": ("B", Decimal(2) ** e) for p, e in _BINARY.items()}
    table |= _scaled("B/s", "B/s", _DECIMAL)
    for bits in ("b/s", "bit/s"):
        table |= _scaled(bits, "B/s", _DECIMAL, "0.125")
    table |= _scaled("FLOP", "FLOP", _DECIMAL) | _scaled("FLOP/s", "FLOP/s", _DECIMAL)
    table |= _scaled("op", "op", _DECIMAL) | _scaled("op/s", "op/s", _DECIMAL)
    for symbol in ("FLOP/clk", "op/clk", "B/clk"):
        table |= _scaled(symbol, symbol, _pick("", "k"))
    table |= _scaled("Hz", "Hz", _DECIMAL) | _scaled("s", "s", time)
    table |= {"min": ("s", Decimal(60)), "h": ("s", Decimal(3600)), "clk": ("clk", one)}
    table |= _scaled("W", "W", _pick("", "m", "k", "M", "G"))
    table |= _scaled("J", "J", energy) | {"Wh": ("J", Decimal(3600)), "kWh": ("J", Decimal(3600000))}
    table |= _scaled("J/B", "J/B", tiny) | _scaled("J/bit", "J/B", tiny, "8")
    table |= _scaled("J/FLOP", "J/FLOP", tiny) | _scaled("J/op", "J/op", tiny)
    table |= {unit: (unit, one) for unit in ("USD", "USD/h", "USD/kWh", "g/kWh", "req/s", "tok/s")}
    table |= {"kg/kWh": ("g/kWh", Decimal(1000)), "USD/MWh": ("USD/kWh", Decimal("0.001"))}
    table |= {"": (RATIO, one), "%": (RATIO, Decimal("0.01"))}
    return table


UNITS: dict[str, tuple[str, Decimal]] = _build()
"""Written unit -> (dimension, factor to its base unit). Counts have no unit of their own."""

DIMENSIONS: tuple[str, ...] = (*dict.fromkeys(base for base, _ in UNITS.values()), COUNT)

_EXAMPLES = {
    "B": "80 GB, 50 MiB",
    "B/s": "3.35 TB/s, 400 Gb/s",
    "FLOP/s": "989 TFLOP/s",
    "FLOP/clk": "4096 FLOP/clk",
    "op/clk": "16 op/clk",
    "B/clk": "128 B/clk",
    "Hz": "1.83 GHz",
    "s": "0.29 us",
    "clk": "600 clk",
    "W": "700 W",
    "J": "1.2 J",
    "J/B": "3.9 pJ/bit, 31 pJ/B",
    "J/FLOP": "0.5 pJ/FLOP",
    "USD/h": "2.5 USD/h",
    RATIO: "0.86, 86 %",
    COUNT: "132",
}


@lru_cache(maxsize=64)
def allowed(base: str) -> str:
    """What a field of dimension ``base`` accepts, for messages."""
    if base == COUNT:
        return "a whole number >= 0 such as 132"
    if base == RATIO:
        return "a plain number or % such as 0.86, 86 %"
    names = [u for u, (b, _) in UNITS.items() if b == base and "µ" not in u and "μ" not in u and "bit/s" not in u]
    example = f" such as {_EXAMPLES[base]}" if base in _EXAMPLES else ""
    return f"a number with one of {' '.join(names)}{example}"


def split(text: str) -> tuple[Decimal, str]:
    """(number, written unit) of ``text``. UnitError if it does not start with a finite number."""
    match = _NUMBER.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise UnitError("not a number with a unit", _quoted(text), 'a text such as "3.35 TB/s"')
    return Decimal(match[1]), match[2]


def parse(text: str, base: str) -> float:
    """Value of ``text`` in the base unit ``base``.

    UnitError if the text is no number, the unit is unknown or missing, belongs to another dimension, or the value is
    negative or not finite.
    """
    try:
        number, unit = split(text)
    except UnitError as error:
        raise UnitError(error.message, error.given, allowed(base)) from None
    if base == COUNT:
        return _count(number, unit, text)
    if unit not in UNITS:
        raise UnitError(_why_unknown(unit, base), _quoted(text), allowed(base))
    found, factor = UNITS[unit]
    if found != base:
        message = "the unit is missing" if not unit else f"wrong dimension: {unit} measures {_named(found)}"
        raise UnitError(message, _quoted(text), allowed(base))
    return _checked(number * factor, text, base)


def parse_any(text: str) -> tuple[float, str]:
    """(value in its base unit, dimension) of a text of any known dimension; a plain number is a ratio.

    Negative values pass: whether they make sense is for the field to say.
    """
    number, unit = split(text)
    if unit not in UNITS:
        raise UnitError(f"unknown unit {unit!r}", _quoted(text), " ".join(u for u in UNITS if u.isascii() and u))
    base, factor = UNITS[unit]
    return _finite(number * factor, text, base), base


def format_quantity(value: float, base: str) -> str:
    """``value`` (in ``base``) with the decimal prefix that leaves 1 <= number < 1000; reads back to the same float."""
    if base not in DIMENSIONS:
        raise UnitError(f"unknown dimension {base!r}", repr(base), " ".join(DIMENSIONS))
    exact = Decimal(repr(float(value)))
    if base in (RATIO, COUNT):
        return _plain(exact)
    texts = [
        f"{_plain(exact / factor)} {unit}" for unit, factor in (_best_unit(exact, base), _binary_unit(exact, base))
    ]
    return min(texts, key=len)  # 50 MiB rather than 52.4288 MB, yet 80 GB


@lru_cache(maxsize=64)
def _ladder(base: str) -> tuple[tuple[str, Decimal], ...]:
    """Units of a dimension to choose from when writing: factors that are powers of a thousand, one spelling each."""
    steps: dict[Decimal, str] = {}
    for unit, (found, factor) in UNITS.items():
        if base.endswith("/clk") and unit != base:
            continue  # nobody writes kFLOP/clk
        if found == base and factor == Decimal(10) ** factor.adjusted() and factor.adjusted() % 3 == 0:
            steps.setdefault(factor, unit)
    return tuple((unit, factor) for factor, unit in sorted(steps.items()))


def _best_unit(exact: Decimal, base: str) -> tuple[str, Decimal]:
    ladder = _ladder(base)
    if exact == 0:
        return base, UNITS[base][1]
    best = ladder[0]
    for unit, factor in ladder:
        if abs(exact) >= factor:
            best = (unit, factor)
    return best


def _binary_unit(exact: Decimal, base: str) -> tuple[str, Decimal]:
    """Largest binary unit that divides a number of bytes, else the decimal choice."""
    if base == "B" and exact > 0:
        for prefix, power in reversed(_BINARY.items()):
            if exact % Decimal(2) ** power == 0:
                return prefix + "B", Decimal(2) ** power
    return _best_unit(exact, base)


def _plain(number: Decimal) -> str:
    text = format(number.normalize(), "f")
    return text if len(text) < 40 else format(number.normalize(), "e")


def _count(number: Decimal, unit: str, text: str) -> float:
    if unit not in ("", COUNT):
        raise UnitError(f"a count has no unit {unit!r}", _quoted(text), allowed(COUNT))
    if number != number.to_integral_value():
        raise UnitError("not a whole number", _quoted(text), allowed(COUNT))
    return _checked(number, text, COUNT)


def _checked(value: Decimal, text: str, base: str) -> float:
    if value < 0:
        raise UnitError("negative", _quoted(text), f"{allowed(base)}, not below 0")
    return _finite(value, text, base)


def _finite(value: Decimal, text: str, base: str) -> float:
    result = float(value)
    if not math.isfinite(result):
        raise UnitError("not finite", _quoted(text), allowed(base))
    return result


def _why_unknown(unit: str, base: str) -> str:
    if base == "B/s" and unit.endswith("iB/s"):
        return f"bandwidths are decimal: write {unit.replace('iB/s', 'B/s')}, not {unit}"
    same = [u for u in UNITS if u.lower() == unit.lower() and UNITS[u][0] == base]
    return f"unknown unit {unit!r}" + (f", did you mean {same[0]!r}?" if same else "")


def _named(base: str) -> str:
    return "a ratio" if base == RATIO else base


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "...")
