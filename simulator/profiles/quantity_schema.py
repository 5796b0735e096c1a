"""How pydantic reads a dimensioned field: a Quantity from the loader in, a float (an int for counts) in SI out."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError, core_schema

from simulator.profiles import units
from simulator.profiles.errors import shown
from simulator.profiles.figures import FIGURE_KINDS, FORM, Quantity


def core_schema_of(base: str) -> Any:
    """Core schema of a field whose dimension is ``base``; its JSON schema accepts a figure or a text with a unit."""

    def validate(value: object, info: core_schema.ValidationInfo) -> float | int:
        sourced = bool((info.context or {}).get("sourced", True))
        text = _text(value, base, sourced)
        try:
            number = units.parse(text, base)
        except units.UnitError as error:
            raise _refusal(error.message, error.given, error.allowed) from None
        return int(number) if base == units.COUNT else number

    return core_schema.with_info_plain_validator_function(
        validate, metadata={"pydantic_js_functions": [lambda _schema, _handler: json_schema(base)]}
    )


def _text(value: object, base: str, sourced: bool) -> str:
    if isinstance(value, Quantity):
        return value.text
    if sourced:
        raise _refusal("a figure with its source is expected", shown(value), f"{FORM}, value: {units.allowed(base)}")
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    raise _refusal("a quantity is expected", shown(value), units.allowed(base))


def _refusal(message: str, given: str, allowed: str) -> PydanticCustomError:
    detail = {"message": message, "given": given, "allowed": allowed}
    return PydanticCustomError("quantity", "{message} (given {given}; allowed {allowed})", detail)


def json_schema(base: str) -> dict[str, Any]:
    """JSON schema of a field of dimension ``base``: a figure, or a text with a unit."""
    quantity: dict[str, Any] = {"type": ["string", "number"] if base in (units.RATIO, units.COUNT) else "string"}
    quantity["description"] = units.allowed(base)
    figure = {
        "type": "object",
        "properties": {
            "value": quantity,
            "kind": {"enum": list(FIGURE_KINDS)},
            "source": {"type": "string", "description": "a key of sources:"},
            "note": {"type": "string"},
            "rows": {"type": "integer", "minimum": 0},
        },
        "required": ["value", "kind", "source"],
        "additionalProperties": False,
    }
    return {"anyOf": [figure, quantity], "x-unit": base}
