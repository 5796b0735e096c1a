"""Which number format each part of a model is stored and computed in, and what a device without a rate falls back
to.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace

from simulator.profiles.dtypes import format_of
from simulator.profiles.model import Model


@dataclass(frozen=True, slots=True)
class Scheme:
    """Formats of a linear layer's operands. weight and activation are storage formats; rate: matrix-unit rate class."""

    weight: str
    activation: str
    rate: str

    @property
    def quantizes(self) -> bool:
        """Whether activations are narrowed before the product."""
        return format_of(self.activation).bits < 16


SCHEMES: dict[str, Scheme] = {
    "bfloat16": Scheme("bfloat16", "bfloat16", "bf16"),
    "fp16": Scheme("fp16", "fp16", "bf16"),
    "fp32": Scheme("fp32", "fp32", "fp32"),
    "fp8": Scheme("fp8", "fp8", "fp8"),
    "fp8_block": Scheme("fp8_block_weight", "fp8_block", "fp8"),
    "mxfp8": Scheme("mxfp8", "mxfp8", "fp8"),
    "int8": Scheme("int8", "int8_token", "int8"),
    "nvfp4": Scheme("nvfp4", "nvfp4", "fp4"),
    "mxfp4": Scheme("mxfp4", "mxfp4", "fp4"),
    "w8a16": Scheme("int8", "bfloat16", "bf16"),
    "w4a16": Scheme("int4", "bfloat16", "bf16"),
    "mxfp4_a16": Scheme("mxfp4", "bfloat16", "bf16"),
    "mxfp4_a8": Scheme("mxfp4", "fp8_block", "fp8"),
    "nvfp4_a16": Scheme("nvfp4", "bfloat16", "bf16"),
}


@dataclass(frozen=True, slots=True)
class Formats:
    """Scheme of each part (names of SCHEMES), storage of the caches, and formats on the wire.

    absorbed: MLA up-projections folded into queries and outputs. core: attention products (bfloat16 or fp8). index:
    indexer projections; index_scores: its products. dispatch, combine: token copies between expert ranks.
    """

    attention: str = "bfloat16"
    absorbed: str = "bfloat16"
    core: str = "bfloat16"
    index: str = "bfloat16"
    index_scores: str = "fp8_block"
    dense: str = "bfloat16"
    experts: str = "bfloat16"
    shared: str = "bfloat16"
    head: str = "bfloat16"
    kv_cache: str = "bfloat16"
    index_cache: str = "fp8_block"
    dispatch: str = "bfloat16"
    combine: str = "bfloat16"

    def scheme(self, part: str) -> Scheme:
        """Scheme of a linear part; 16 bit for parts that have none (gate, norms, vectors).

        ValueError lists the schemes.
        """
        name = getattr(self, part, "bfloat16") if part in SCHEMED else "bfloat16"
        if name not in SCHEMES:
            raise ValueError(f"formats.{part}={name!r}; known: {', '.join(sorted(SCHEMES))}")
        return SCHEMES[name]


SCHEMED = ("attention", "absorbed", "core", "index", "index_scores", "dense", "experts", "shared", "head")


def native(model: Model) -> Formats:
    """Formats of the released checkpoint: dispatch follows the experts' activations, the indexer the attention."""
    n = model.formats
    experts = n.experts
    return Formats(
        attention=n.attention,
        index=n.attention,
        dense=n.dense,
        experts=experts,
        shared=n.shared,
        head=n.head,
        kv_cache=n.kv_cache,
        index_cache=n.index_cache,
        index_scores="mxfp4" if n.index_cache == "mxfp4" else "fp8_block",
        dispatch=SCHEMES[experts].activation,
    )


def precision(model: Model, weights: str) -> Formats:
    """Formats of a deployment quantised to ``weights`` (a scheme name) in every linear part but gate and head."""
    if weights not in SCHEMES:
        raise ValueError(f"weights={weights!r}; known: {', '.join(sorted(SCHEMES))}")
    parts = dict.fromkeys(("attention", "index", "dense", "experts", "shared"), weights)
    return replace(native(model), **parts, dispatch=SCHEMES[weights].activation)


def supported(formats: Formats, rates: Collection[str], policy: str = "int8") -> Formats:
    """``formats`` with every scheme whose rate class is not in ``rates`` replaced.

    policy: "int8" prefers 8-bit integers where the device has them, "bf16" goes straight to 16 bit. Four-bit weights
    keep their storage and widen only the arithmetic.
    """
    if policy not in ("int8", "bf16"):
        raise ValueError(f"policy={policy!r}; known: int8, bf16")
    changed = {part: _fallback(getattr(formats, part), rates, policy) for part in SCHEMED}
    out = replace(formats, **changed)
    if changed["experts"] != formats.experts and formats.dispatch != "bfloat16":
        out = replace(out, dispatch=SCHEMES[changed["experts"]].activation)
    return out


def _fallback(name: str, rates: Collection[str], policy: str) -> str:
    scheme = SCHEMES[name]
    if scheme.rate in rates or name == "bfloat16":
        return name
    if scheme.rate == "fp4":
        if "fp8" in rates and scheme.weight == "mxfp4":
            return "mxfp4_a8"
        return f"{scheme.weight}_a16"
    if name == "mxfp4_a8":
        return "mxfp4_a16"
    return "int8" if policy == "int8" and "int8" in rates else "bfloat16"


def with_overrides(formats: Formats, overrides: Mapping[str, str]) -> Formats:
    """``formats`` with parts replaced by name; ValueError lists the parts."""
    known = {f.name for f in fields(Formats)}
    unknown = set(overrides) - known
    if unknown:
        raise ValueError(f"unknown part of formats {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
    return replace(formats, **dict(overrides))
