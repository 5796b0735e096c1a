"""Layer bodies the user wrote as data (profiles.blocks): their operators are added to the graph like built-in ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from simulator.models.builder import Builder, Context
from simulator.models.common import scaling
from simulator.models.expressions import ExpressionError, evaluate
from simulator.models.user_fault import fault
from simulator.ops.fused import Fused
from simulator.ops.op import CollectiveOp, Op, registry
from simulator.ops.shapes import same_shape
from simulator.profiles.blocks import PREFIX, Block, BlockNode, Shard
from simulator.profiles.errors import nearest, shown
from simulator.profiles.model import Model

RESULT = "out"
MIXER, FEED_FORWARD = "attention_in", "ffn"  # stage of nodes that state none
STAGES = ("attention_in", "attention_core", "ffn")
PARTS = ("attention", "core", "dense", "index", "rope", "cache", "norm", "vector", "gate")
SET_BY_PASSES = ("rate", "quantizes_a", "bias_share", "in_place", "loads")

_PART_OF = {"Rope": "rope", "CacheAppend": "cache", "Attention": "core", "IndexMaskedAttention": "core"}
_PART_OF |= {"RMSNorm": "norm", "LayerNorm": "norm", "GatedRMSNorm": "norm"}


def is_user(name: str) -> bool:
    """Whether a mixer or feed-forward name stands for a block of the file."""
    return name.startswith(PREFIX)


def body(b: Builder, x: int, c: Context, name: str, stage: str) -> int:
    """x[T, h] -> [T, h] through the block ``name``. ProfileError names file, block and node of a mistake."""
    if c.step.groups:
        path = ("blocks", name.removeprefix(PREFIX))
        raise fault(c.model, path, "cannot run in phases.mixed", "", "phases.prefill and phases.decode apart")
    return _Body(b, c, name.removeprefix(PREFIX), stage).run(x)


@lru_cache(maxsize=1)
def operators() -> dict[str, type[Op]]:
    """Operators a block may use: all but exchanges and fused kernels, which the passes put in."""
    return {n: op for n, op in registry().items() if not issubclass(op, CollectiveOp | Fused) and n != "LocalShare"}


def symbols(c: Context) -> dict[str, Any]:
    """Names of expressions: T, B, q, L, P of the step, the model's numbers (gqa.heads), the sizes of the file."""
    step = c.step
    found: dict[str, Any] = {"T": step.tokens, "B": step.batch, "q": step.q_len, "L": step.kv_len, "P": step.past_len}
    found |= _numbers(c.model)
    for name, text in c.model.sizes.items():
        if name in found or not name.isidentifier():
            raise fault(c.model, ("sizes", name), "name is taken or no plain word", repr(name), "a word of your own")
        try:
            found[name] = evaluate(text, found)
        except ExpressionError as error:
            raise fault(c.model, ("sizes", name), str(error), allowed=error.allowed) from None
    return found


def _numbers(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for f in dataclasses.fields(model):
        value = getattr(model, f.name)
        if dataclasses.is_dataclass(value):
            inner = {f"{f.name}.{g.name}": getattr(value, g.name) for g in dataclasses.fields(value)}
            found |= {k: v for k, v in inner.items() if type(v) in (int, float)}
        elif type(value) is int:
            found[f.name] = value
    return found


class _Body:
    """One block on its way into a graph. values: ids by name; path: the place in the file a mistake is reported at."""

    def __init__(self, b: Builder, c: Context, name: str, stage: str) -> None:
        self.b, self.c, self.name, self.stage = b, c, name, stage
        self.block: Block = c.model.blocks[name]
        self.names = symbols(c)
        self.values: dict[str, int] = {}
        self.path: tuple[str | int, ...] = ("blocks", name)

    def run(self, x: int) -> int:
        """Adds all nodes; id of the result."""
        self.values = {"x": x, "positions": self.c.positions, "ids": self.c.ids}
        for index, node in enumerate(self.block.nodes):
            self.path = ("blocks", self.name, "nodes", index)
            self._node(node)
        self.path = ("blocks", self.name)
        unread = [n for n in (*self.block.weights, *self.block.caches) if n not in self.values]
        if unread:
            raise self._fault("no node reads", ", ".join(unread), "weights and caches that a node takes as input")
        return self._result(x)

    def _result(self, x: int) -> int:
        if RESULT not in self.values:
            raise self._fault(f"no value is called {RESULT!r}", allowed="one node whose output is the block's result")
        found, expected = (self.b.spec(v) for v in (self.values[RESULT], x))
        if not same_shape(found, expected):
            message = f"{RESULT!r} has the wrong shape"
            raise self._fault(message, str(list(found.shape)), f"[T, hidden_size] = {list(expected.shape)}")
        return self.values[RESULT]

    def _fault(self, message: str, given: str = "", allowed: str = "") -> Exception:
        return fault(self.c.model, self.path, message, given, allowed)

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def _node(self, node: BlockNode) -> None:
        kind = self._known(node.op, operators(), "operator")
        inputs = tuple(self._input(name) for name in node.inputs)
        stage = self._known(node.stage, STAGES, "stage") if node.stage else self.stage
        home = "dense" if self.stage == FEED_FORWARD else "attention"
        part = self._known(node.part, PARTS, "part") if node.part else _PART_OF.get(node.op, home)
        arguments = self._arguments(node, kind)
        with self.b.at(stage, part):
            try:
                outputs = self.b.add_many(node.name, kind(**arguments), *inputs)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                raise self._refused(node, kind, inputs, error) from None
        names = node.outputs or (node.name,)
        if len(names) != len(outputs):
            raise self._fault(f"{node.op} gives {len(outputs)} values", ", ".join(names), "a name for each in outputs")
        for name, value in zip(names, outputs, strict=True):
            if name in self.values or name in self.block.weights or name in self.block.caches:
                raise self._fault("name is already taken", repr(name), "a name of its own for every value")
            self.values[name] = value

    def _refused(self, node: BlockNode, kind: type[Op], inputs: tuple[int, ...], error: Exception) -> Exception:
        shapes = ", ".join(f"{n}{list(self.b.spec(v).shape)}" for n, v in zip(node.inputs, inputs, strict=True))
        unpacking = "unpack" in str(error) or isinstance(error, IndexError)
        message = f"{node.op}: wrong number of inputs" if unpacking else f"{node.op} refuses: {error}"
        return self._fault(message, shapes, (kind.__doc__ or "").strip().splitlines()[0])

    def _input(self, name: str) -> int:
        if name not in self.values:
            if name in self.block.weights:
                self.values[name] = self._weight(name)
            elif name in self.block.caches:
                self.values[name] = self._cache(name)
            else:
                self._known(name, (*self.values, *self.block.weights, *self.block.caches), "input")
        return self.values[name]

    def _known(self, name: str, known: Any, what: str) -> Any:
        """``known[name]``, or ``name`` itself where ``known`` is a list of names."""
        if name not in known:
            close = nearest(name, known)
            raise self._fault(f"unknown {what}" + (f", {close}" if close else ""), repr(name), ", ".join(known))
        return known[name] if isinstance(known, Mapping) else name

    # -- numbers -------------------------------------------------------------------------------------------------------

    def _arguments(self, node: BlockNode, kind: type[Op]) -> dict[str, Any]:
        types = {f.name: str(f.type) for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
        found = self._defaults(node.op, types)
        settable = {n: t for n, t in types.items() if n not in SET_BY_PASSES and t != "RopeScaling"}
        for name, value in node.args.items():
            if name not in settable:
                self._known(name, tuple(settable) or ("no fields",), f"field of {node.op}")
            found[name] = self._argument(name, settable[name], value)
        missing = [f.name for f in dataclasses.fields(kind) if _required(f) and f.name not in found]  # type: ignore[arg-type]
        if missing:
            raise self._fault(f"{node.op} needs args", allowed=", ".join(missing))
        return found

    def _defaults(self, op: str, types: Mapping[str, str]) -> dict[str, Any]:
        """Fields that follow the model unless stated: rotary base and scaling, epsilon of norms."""
        model = self.c.model
        if op == "Rope":
            return {"theta": model.rope.theta, "interleaved": model.rope.interleaved, "scaling": scaling(model.rope)}
        return {"eps": model.norm.eps} if op.endswith("Norm") and "eps" in types else {}

    def _argument(self, name: str, kind: str, value: Any) -> Any:
        if kind in ("str", "bool"):
            if type(value).__name__ != kind:
                raise self._fault(f"args.{name}", shown(value), "a word" if kind == "str" else "true or false")
            return value
        if kind.startswith("tuple"):
            if not isinstance(value, tuple):
                raise self._fault(f"args.{name}", shown(value), "a list")
            found = tuple(self._whole(v) for v in value)
            if name == "shape" and any(np.any(np.asarray(d) == 0) for d in found):
                raise self._fault(f"args.{name}", str(list(value)), "sizes of at least 1, or one -1")
            return found
        return float(self._number(value)) if kind == "float" else self._whole(value)

    def _number(self, text: Any) -> Any:
        try:
            if isinstance(text, bool | tuple):
                raise ExpressionError(f"{shown(text)} is no number", "a number or an expression")
            return evaluate(text, self.names)
        except ExpressionError as error:
            raise self._fault(str(error), allowed=error.allowed) from None

    def _whole(self, text: Any) -> Any:
        value = self._number(text)
        shared = any(isinstance(self.names[s], float) for s in "TBqLP")  # shares of a step may be fractions
        if isinstance(value, float) and not value.is_integer() and not shared:
            raise self._fault(f"{shown(text)} is {value}", allowed="a whole number")
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def _sizes(self, texts: tuple[Any, ...]) -> tuple[Any, ...]:
        sizes = tuple(self._whole(t) for t in texts)
        for text, size in zip(texts, sizes, strict=True):
            if np.any(np.asarray(size) < (0 if text in ("P", "L") else 1)):
                raise self._fault(f"size {shown(text)} is {size}", allowed="sizes of at least 1")
        return sizes

    # -- weights and caches --------------------------------------------------------------------------------------------

    def _weight(self, name: str) -> int:
        w = self.block.weights[name]
        before, self.path = self.path, ("blocks", self.name, "weights", name)
        shape, blocks, ways = self._sizes(w.shape), self._sizes(w.blocks), self._sizes(w.ways)
        if not all(type(d) is int for d in shape):
            raise self._fault("shape depends on the step", str(list(w.shape)), "sizes of the model")
        tag = self._tag(w.shard, shape)
        if (blocks or ways) and (tag is None or (blocks and sum(blocks) != shape[tag[0]])):
            whole = str(shape[tag[0]]) if tag else "none without shard"
            raise self._fault("blocks do not add up to the shard axis", str(blocks), whole)
        if ways and len(ways) != len(blocks):
            raise self._fault("ways must go with blocks", str(ways), f"{len(blocks)} numbers")
        self.path = before
        return self.b.weight(f"{self.name}.{name}", *shape, shard=tag, blocks=blocks, ways=ways)

    def _cache(self, name: str) -> int:
        cache = self.block.caches[name]
        before, self.path = self.path, ("blocks", self.name, "caches", name)
        lead = ("B",) if "state" in name else ("B", "P")
        if cache.shape[: len(lead)] != lead:
            raise self._fault("shape", str(list(cache.shape)), f"[{', '.join(lead)}, ..]")
        if not name.isidentifier() or name.startswith("window") or name in ("kv_cache", "entry_cache"):
            raise self._fault("name has a meaning of its own", repr(name), "another plain word")
        shape = self._sizes(cache.shape)
        tag = self._tag(cache.shard, shape)
        ways = self._sizes((cache.ways,))[0] if cache.ways else 0
        self.path = before
        return self.b.cache(f"{self.name}.{name}", *shape, shard=tag, ways=ways)

    def _tag(self, shard: Shard | None, shape: tuple[Any, ...]) -> tuple[int, str] | None:
        if shard is None:
            return None
        if shard.axis >= len(shape):
            raise self._fault("shard.axis", str(shard.axis), f"0 to {len(shape) - 1}")
        return shard.axis, shard.over


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
