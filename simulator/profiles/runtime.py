"""Software stack of a deployment: how it launches kernels, which fusions it has, what its host costs per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.profiles.fields import Seconds


@dataclass(frozen=True, slots=True)
class Host:
    """CPU work that no kernel hides. step: per engine step (scheduling, sampling); sequence: more per running sequence."""

    step: Seconds
    sequence: Seconds


@dataclass(frozen=True, slots=True)
class Runtime:
    """A stack such as vllm, sglang, trtllm, jax, cann, or a kernel library such as deepgemm.

    vendors: whose devices it runs on. launch: kernels replayed from a captured graph or launched one by one. fusions: names
    of the fusion passes it applies, in order. aliases: other spellings of its name. closest: stacks whose kernels stand in,
    best first, where it has none of a family. reference: it stands in for stacks of its vendors that nobody described.
    """

    name: str
    vendors: tuple[Literal["nvidia", "google", "huawei"], ...]
    launch: Literal["graph", "eager"] = "graph"
    fusions: tuple[str, ...] = ()
    host: Host | None = None
    aliases: tuple[str, ...] = ()
    closest: tuple[str, ...] = ()
    reference: bool = False
    description: str = ""
