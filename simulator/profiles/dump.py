"""A loaded profile back to YAML (``config.resolved.yaml``): every default spelled out, quantities with their units."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from simulator.profiles import shape, units
from simulator.profiles.fields import Unit


def dump(profile: object) -> str:
    """YAML text of a profile dataclass. ``load`` reads a dumped scenario back to an equal object."""
    return dump_yaml(plain(profile))


def dump_yaml(document: Any) -> str:
    """``document`` (dicts, lists, scalars) as YAML text, keys in the order given."""
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return text


def plain(profile: object) -> dict[str, Any]:
    """Nested dict of a profile dataclass with quantities as text; fields that are None are left out."""
    if not dataclasses.is_dataclass(profile) or isinstance(profile, type):
        raise TypeError(f"not a profile: {type(profile).__name__}")
    hints = shape.field_types(type(profile))
    items = ((name, getattr(profile, name), hint) for name, hint in hints.items())
    return {name: _plain(value, hint) for name, value, hint in items if value is not None}


def _plain(value: Any, hint: Any) -> Any:
    unit = _unit(hint)
    if unit is not None:
        return value if unit in (units.RATIO, units.COUNT) else units.format_quantity(value, unit)
    if dataclasses.is_dataclass(value):
        return plain(value)
    arguments = [a for a in typing.get_args(_bare(hint)) if a is not Ellipsis]
    inner = arguments[-1] if arguments else None
    if isinstance(value, Mapping):
        return {str(k): _plain(v, inner) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v, inner) for v in value]
    return value


def _unit(hint: Any) -> str | None:
    """Dimension of ``hint``, looking through Optional."""
    if typing.get_origin(hint) is typing.Annotated:
        return next((m.base for m in hint.__metadata__ if isinstance(m, Unit)), None)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next((u for u in map(_unit, typing.get_args(hint)) if u is not None), None)
    return None


def _bare(hint: Any) -> Any:
    """``hint`` without Optional."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next((a for a in typing.get_args(hint) if a is not type(None)), hint)
    return hint
