"""Layer bodies written by the user: operators, the weights and caches they read, and how weights may be split.

Operators are named by class, so this room cannot check them; ``models.user_block`` does, before anything is costed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

V = TypeVar("V")

PREFIX = "user:"
"""What a layer puts before the name of a block it uses as mixer or feed-forward."""


class FrozenMap(Mapping[str, V], Generic[V]):
    """A mapping that can be hashed, in order of definition: models are keys of caches."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, V] | None = None) -> None:
        self._entries = dict(entries or {})

    def __getitem__(self, key: str) -> V:
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(tuple(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


class Frozen:
    """Annotation: pydantic reads a mapping, the dataclass gets a FrozenMap."""

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> Any:
        """pydantic is imported by the loader only."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(FrozenMap, handler(source))


Expression: TypeAlias = str | int
"""A whole number, or an expression over sizes (see models.expressions)."""

Argument: TypeAlias = str | bool | int | float | tuple[str | int, ...]
"""Value of an operator's field: a number, an expression, a word, or a list of expressions."""

Sizes: TypeAlias = Annotated[Mapping[str, Expression], Frozen()]


@dataclass(frozen=True, slots=True)
class Shard:
    """Tensor parallelism may cut ``axis`` of a weight or cache along a logical axis."""

    axis: int
    over: Literal["heads", "ffn"]


@dataclass(frozen=True, slots=True)
class BlockWeight:
    """A weight. blocks: sizes of tensors stacked along the shard axis, each cut apart; ways: most cuts of each."""

    shape: tuple[Expression, ...]
    shard: Shard | None = None
    blocks: tuple[Expression, ...] = ()
    ways: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockCache:
    """A cache the step reads: [B, P, ..] grows by a row per token; a name with ``state`` in it is a fixed [B, ..]."""

    shape: tuple[Expression, ...]
    shard: Shard | None = None
    ways: Expression = 0


@dataclass(frozen=True, slots=True)
class BlockNode:
    """One operator. op: class name; args: its fields; inputs: values, weights, caches, x or positions.

    outputs: names of the results (none: the node's own name). stage, part: as in models.graph.Node; left out, those of
    the place the block is used in and of the operator.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    args: Annotated[Mapping[str, Argument], Frozen()] = field(default_factory=FrozenMap)
    stage: str = ""
    part: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A mixer or feed-forward: x[T, h] -> the value named ``out``[T, h]."""

    nodes: tuple[BlockNode, ...]
    weights: Annotated[Mapping[str, BlockWeight], Frozen()] = field(default_factory=FrozenMap)
    caches: Annotated[Mapping[str, BlockCache], Frozen()] = field(default_factory=FrozenMap)


Blocks: TypeAlias = Annotated[Mapping[str, Block], Frozen()]
