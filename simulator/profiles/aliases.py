"""Spellings of scenario options: vLLM's names and the short ones become one canonical field path."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from simulator.profiles.errors import fail
from simulator.profiles.overrides import apply_overrides
from simulator.profiles.routing import inline_loads
from simulator.profiles.yaml_source import Located

_PARALLEL = {
    "tp": ("tensor_parallel_size", "tp_size", "tp"),
    "pp": ("pipeline_parallel_size", "pp_size", "pp"),
    "dp": ("data_parallel_size", "dp_size", "dp"),
    "ep": ("expert_parallel_size", "ep_size", "ep"),
    "cp": ("prefill_context_parallel_size", "context_parallel_size", "pcp_size", "pcp", "cp"),
    "dcp": ("decode_context_parallel_size", "dcp_size", "dcp"),
    "redundant_experts": ("num_redundant_experts", "ep_num_redundant_experts", "redundant_experts"),
}
_ISL = ("isl", "input_len", "random_input_len", "prompt_tokens")
_OSL = ("osl", "output_len", "random_output_len", "output_tokens")

ALIASES: Mapping[str, str] = {
    **{spelling: f"parallel.{short}" for short, names in _PARALLEL.items() for spelling in names},
    **dict.fromkeys(_ISL, "phases.prefill.isl"),
    **dict.fromkeys(_OSL, "phases.decode.osl"),
    "prefix_len": "phases.prefill.prefix_len",
    "context": "phases.decode.context",
    "batch": "phases.decode.batch",
    "max_num_seqs": "phases.decode.batch",
    "kv_cache_dtype": "formats.kv_cache",
    "num_speculative_tokens": "speculative.num_speculative_tokens",
    "acceptance_length": "speculative.acceptance_length",
    "acceptance_rate": "speculative.acceptance_rate",
    "chunk": "phases.prefill.chunk",
    "concurrency": "serving.concurrency",
    "max_concurrency": "serving.concurrency",
    "request_rate": "serving.request_rate",
    "max_num_batched_tokens": "serving.max_num_batched_tokens",
}
"""Top-level spelling in a scenario, ``--set`` or ``--axis`` -> canonical path."""

NESTED: Mapping[str, Mapping[str, str]] = {
    "parallel": {spelling: short for short, names in _PARALLEL.items() for spelling in names},
    "phases.prefill": dict.fromkeys(_ISL, "isl") | {"max_num_seqs": "batch", "max_num_batched_tokens": "chunk"},
    "phases.decode": dict.fromkeys(_OSL, "osl") | {"max_num_seqs": "batch"},
    "phases.mixed.prefill": {"chunk": "tokens"},
    "phases.mixed.decode": {"max_num_seqs": "batch"},
    "phases.prefill.parallel": {spelling: short for short, names in _PARALLEL.items() for spelling in names},
    "phases.decode.parallel": {spelling: short for short, names in _PARALLEL.items() for spelling in names},
    "phases.mixed.parallel": {spelling: short for short, names in _PARALLEL.items() for spelling in names},
    "serving": {"max_concurrency": "concurrency", "gpu_memory_utilization": "device_memory_utilization"},
}
"""Section of a scenario -> other spellings of its fields."""

_OTHER_PROFILES = ("device", "system", "model", "runtime", "prices")


_PHASES = ("prefill.", "decode.", "mixed.")


def canonical_path(path: str, root: Located | None = None) -> str:
    """Canonical dotted path of an option: ``tp`` -> ``parallel.tp``, ``decode.batch`` -> ``phases.decode.batch``.

    root: the scenario it applies to. ``batch`` means the decode batch (of the mixed step where there is no decode phase), or
    the prefill batch where nothing is decoded; ``max_num_seqs`` and ``max_num_batched_tokens`` mean the engine's limits in a
    request-level scenario, else the decode batch and the chunk of a prefill.
    """
    path = path.replace("-", "_") if path.replace("-", "_") in ALIASES else path
    if root is not None and path in ("batch", "max_num_seqs", "max_num_batched_tokens", "context"):
        return _by_phase(path, root)
    if path in ALIASES:
        return ALIASES[path]
    if path.startswith(_PHASES):  # decode.batch
        path = f"phases.{path}"
    parent, _, name = path.rpartition(".")
    return f"{parent}.{NESTED[parent].get(name, name)}" if parent in NESTED else path


def split_overrides(overrides: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Overrides by the profile they change: ``device.memory.bandwidth`` -> {"device": {"memory.bandwidth": ...}}.

    Keys: scenario, device, system, model, runtime, prices (each present, maybe empty).
    """
    parts: dict[str, dict[str, str]] = {name: {} for name in ("scenario", *_OTHER_PROFILES)}
    for path, value in overrides.items():
        head, _, rest = path.partition(".")
        if rest and head in _OTHER_PROFILES:
            parts[head][rest] = value
        else:
            parts["scenario"][path] = value
    return parts


def normalise(root: Located) -> Located:
    """``root`` with every alias moved to its canonical path. ProfileError if an option is given under two names."""
    for path in sorted(NESTED, key=len):
        root = _rename(root, path.split("."), NESTED[path], path)
    for name in [k for k in root.mapping if k in ALIASES]:
        node = root.mapping[name]
        rest = {k: v for k, v in root.mapping.items() if k != name}
        root = _put(replace(root, value=rest), canonical_path(name, root).split("."), node, name)
    return root


def prepare(root: Located, overrides: Mapping[str, str]) -> Located:
    """A scenario's tree with aliases resolved, overrides applied and derived options filled in.

    What the file says gives way to what follows from an override: tp, pp, cp and num_devices change dp, dp changes
    num_devices; isl and osl change the context; a device brings its own system and a system its own device.
    """
    root = normalise(root)
    changed = {canonical_path(path, root) for path in overrides}
    root = apply_overrides(root, overrides, canonical_path)
    for options, path in _GIVE_WAY:
        if changed & options and path not in changed:
            root = _without(root, path.split("."))
    if "parallel.dp" not in changed and changed & _KEEP_DEVICES and "num_devices" in root.mapping:
        root = _without(root, ["parallel", "dp"])
    lengths = [_find(root, path) for path in sorted(_LENGTHS)]
    if changed & _LENGTHS and "phases.decode.context" not in changed and None not in lengths:
        root = _without(root, ["phases", "decode", "context"])
    return _complete(inline_loads(root))


_GIVE_WAY = (
    ({"parallel.dp"}, "num_devices"),
    ({"device"}, "system"),
    ({"system"}, "device"),
    ({"speculative.acceptance_rate"}, "speculative.acceptance_length"),
    ({"speculative.acceptance_length"}, "speculative.acceptance_rate"),
)
"""Overridden options -> what the file says and then no longer holds."""

_KEEP_DEVICES = {"parallel.tp", "parallel.pp", "parallel.cp", "num_devices"}
_LENGTHS = {"phases.prefill.isl", "phases.decode.osl"}


def _without(node: Located, steps: list[str]) -> Located:
    if not isinstance(node.value, dict) or steps[0] not in node.value:
        return node
    if len(steps) == 1:
        return replace(node, value={k: v for k, v in node.value.items() if k != steps[0]})
    return replace(node, value=node.value | {steps[0]: _without(node.value[steps[0]], steps[1:])})


def _by_phase(path: str, root: Located) -> str:
    if path.startswith("max_num") and "serving" in root.mapping:
        return f"serving.{path}"
    if path == "max_num_batched_tokens":
        return "phases.prefill.chunk"
    phases = root.child("phases")
    has = {n: phases is not None and phases.child(n) is not None for n in ("prefill", "decode", "mixed")}
    if has["mixed"] and not has["decode"]:
        return f"phases.mixed.decode.{'context' if path == 'context' else 'batch'}"
    if has["prefill"] and not has["decode"] and path != "context":
        return "phases.prefill.batch"
    return ALIASES[path]


def _rename(node: Located, steps: list[str], names: Mapping[str, str], at: str) -> Located:
    if not isinstance(node.value, dict):
        return node
    if steps:
        child = node.value.get(steps[0])
        if child is None:
            return node
        return replace(node, value=node.value | {steps[0]: _rename(child, steps[1:], names, at)})
    renamed: dict[str, Located] = {}
    for key, child in node.value.items():
        name = names.get(key, key)
        if name in renamed:
            message = f"given twice, it is another name of {name}"
            raise fail(child.file, child.line, f"{at}.{key}", message, child.given())
        renamed[name] = child
    return replace(node, value=renamed)


def _put(node: Located, steps: list[str], value: Located, name: str) -> Located:
    if not isinstance(node.value, dict):
        raise fail(value.file, value.line, name, "cannot be set here", value.given())
    old = node.value.get(steps[0])
    if len(steps) == 1:
        if old is not None:
            raise fail(value.file, value.line, name, f"given twice, it is another name of {steps[0]}", value.given())
        return replace(node, value=node.value | {steps[0]: value})
    below = old if old is not None and old.value is not None else Located({}, value.file, value.line)
    return replace(node, value=node.value | {steps[0]: _put(below, steps[1:], value, name)})


def _complete(root: Located) -> Located:
    """Derives what follows from the rest: num_devices or dp from the parallel sizes, the context from isl and osl."""
    root = _complete_devices(root)
    isl, osl = (_find(root, f"phases.{path}") for path in ("prefill.isl", "decode.osl"))
    if isl is not None and osl is not None and _find(root, "phases.decode.context") is None:
        context = Located(_size(isl) + (_size(osl) + 1) // 2, osl.file, osl.line)
        root = _put(root, ["phases", "decode", "context"], context, "context")
    return root


def _complete_devices(root: Located) -> Located:
    parallel = root.mapping.get("parallel", Located({}, root.file, root.line))
    if not isinstance(parallel.value, dict):
        return root
    sizes = {k: v for k in ("tp", "pp", "dp", "cp") if (v := parallel.value.get(k)) is not None}
    product = math.prod(map(_size, sizes.values()))
    count = root.mapping.get("num_devices")
    if count is None:
        return replace(root, value=root.mapping | {"num_devices": Located(product, parallel.file, parallel.line)})
    if "dp" in sizes:
        return root
    if _size(count) % product:
        blamed = next((k for k, v in sizes.items() if v.line == 0), next(iter(sizes)))  # an option before a file
        at = count if count.line == 0 else sizes[blamed]
        message = f"tp x pp x cp = {product} does not divide num_devices {_size(count)}"
        raise fail(at.file, at.line, f"parallel.{blamed}", message, at.given())
    return _put(root, ["parallel", "dp"], Located(_size(count) // product, count.file, count.line), "dp")


def _find(root: Located, path: str) -> Located | None:
    node: Located | None = root
    for step in path.split("."):
        node = node.child(step) if node is not None else None
    return node


def _size(node: Located | None) -> int:
    """A whole number above 0, else 1: what is wrong with the value is for the validator to say."""
    value = node.value if node is not None else 1
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1
