"""Dimensioned field types for profile dataclasses: floats in SI inside, unit-carrying strings in YAML.

A field annotated ``BytesPerSecond`` accepts only a string with a unit of that dimension ("3.35 TB/s"); the loader
refuses bare numbers and units of another dimension. Type checkers see plain floats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Unit:
    """The SI base unit of a field; the loader checks and converts to it."""

    base: str

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> Any:
        """How pydantic reads a field of this unit. pydantic is imported by the loader only."""
        from simulator.profiles.quantity_schema import core_schema_of

        return core_schema_of(self.base)


Seconds: TypeAlias = Annotated[float, Unit("s")]
Hertz: TypeAlias = Annotated[float, Unit("Hz")]
Bytes: TypeAlias = Annotated[float, Unit("B")]
BytesPerSecond: TypeAlias = Annotated[float, Unit("B/s")]
FlopPerSecond: TypeAlias = Annotated[float, Unit("FLOP/s")]
FlopPerClock: TypeAlias = Annotated[float, Unit("FLOP/clk")]
OpPerClock: TypeAlias = Annotated[float, Unit("op/clk")]
BytesPerClock: TypeAlias = Annotated[float, Unit("B/clk")]
Clocks: TypeAlias = Annotated[float, Unit("clk")]
Watts: TypeAlias = Annotated[float, Unit("W")]
Joules: TypeAlias = Annotated[float, Unit("J")]
JoulesPerFlop: TypeAlias = Annotated[float, Unit("J/FLOP")]
JoulesPerByte: TypeAlias = Annotated[float, Unit("J/B")]
Usd: TypeAlias = Annotated[float, Unit("USD")]
UsdPerHour: TypeAlias = Annotated[float, Unit("USD/h")]
UsdPerKwh: TypeAlias = Annotated[float, Unit("USD/kWh")]
GramsPerKwh: TypeAlias = Annotated[float, Unit("g/kWh")]
PerSecond: TypeAlias = Annotated[float, Unit("req/s")]
Ratio: TypeAlias = Annotated[float, Unit("1")]
Count: TypeAlias = Annotated[int, Unit("count")]
