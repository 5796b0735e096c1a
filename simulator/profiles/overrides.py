"""``--set a.b.c=value``: changes one value of a loaded YAML tree; faults then name the option instead of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from simulator.profiles.errors import ProfileError, fail
from simulator.profiles.figures import is_figure
from simulator.profiles.yaml_source import MAX_BYTES, Located, parse

OVERRIDE = "override"
"""Source key of figures that came from the command line."""

_MAX_LENGTH = 4096


def _same(path: str, _root: Located) -> str:
    return path


def apply_overrides(
    raw: Located,
    overrides: Mapping[str, str],
    rename: Callable[[str, Located], str] = _same,
    prefix: str = "",
) -> Located:
    """``raw`` with every dotted path set to its value (YAML: a scalar, [a, b] or {a: b}).

    Maps on the way are created; a path through a scalar or a list is refused. A scalar put on a figure replaces the
    figure's value and marks it estimated, source "override". rename: canonical spelling of a path. prefix: what
    stood before the path on the command line ("device.").
    """
    root = raw
    for path, text in overrides.items():
        option = f"--set {prefix}{path}={text}"
        steps = rename(path, root).split(".")
        if not all(steps):
            raise fail(option, 0, path, "not a field path", repr(path), "names joined by dots such as parallel.tp")
        if len(text) > min(_MAX_LENGTH, MAX_BYTES):
            raise fail(
                f"--set {prefix}{path}=...", 0, path, "value too long", f"{len(text)} characters", f"{_MAX_LENGTH}"
            )
        root = _set(root, steps, _value(text, option), option, steps)
    return root


def _value(text: str, option: str) -> Located:
    if not text.strip():
        return Located(None, option, 0)
    try:
        return _relocated(parse(text, option), option)
    except ProfileError as error:
        raise ProfileError(replace(f, line=0) for f in error.faults) from None


def _relocated(node: Located, option: str) -> Located:
    value = node.value
    if isinstance(value, dict):
        return Located({k: _relocated(v, option) for k, v in value.items()}, option, 0, node.size)
    if isinstance(value, list):
        return Located([_relocated(v, option) for v in value], option, 0, node.size)
    return replace(node, file=option, line=0)


def _set(node: Located, steps: list[str], value: Located, option: str, whole: list[str]) -> Located:
    if not steps:
        return _figure(value, option) if is_figure(node) and not isinstance(value.value, (dict, list)) else value
    if node.value is None:
        node = Located({}, option, 0)
    if not isinstance(node.value, dict) or is_figure(node):
        reached = ".".join(whole[: len(whole) - len(steps)])
        raise fail(option, 0, ".".join(whole), f"{reached} has no fields", node.given())
    old = node.value.get(steps[0], Located(None, option, 0))
    entries = node.value | {steps[0]: _set(old, steps[1:], value, option, whole)}
    if len(steps) == len(whole):
        entries = _with_source(entries, option)
    return replace(node, value=entries)


def _figure(value: Located, option: str) -> Located:
    word = {"kind": "estimated", "source": OVERRIDE}
    return Located({"value": value} | {k: Located(v, option, 0) for k, v in word.items()}, option, 0)


def _with_source(entries: dict[str, Located], option: str) -> dict[str, Located]:
    sources = entries.get("sources", Located({}, option, 0))
    if not isinstance(sources.value, dict):
        return entries
    citation = Located("set on the command line", option, 0)
    return entries | {"sources": replace(sources, value=sources.value | {OVERRIDE: citation})}
