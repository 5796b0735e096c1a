"""A tiny model of the same family: every kind of layer once, small widths, the same structure.

Small enough to execute in numpy in well under a second, with all dimensions divisible over four ranks.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.profiles.blocks import FrozenMap
from simulator.profiles.model import (
    CompressedAttention,
    DeltaNet,
    Gqa,
    Indexer,
    Layer,
    LayerRun,
    Mamba,
    Mla,
    Model,
    Moe,
)

HIDDEN = 64
VOCABULARY = 96
CONTEXT = 256
HEADS = 4


def scale_down(model: Model) -> Model:
    """``model`` with the same parts and the same distinct layers, each shrunk to test size."""
    kinds = tuple(dict.fromkeys(model.sequence()))
    if len(kinds) == 1:
        kinds = kinds * 2
    return replace(
        model,
        name=f"{model.name}-tiny",
        hidden_size=HIDDEN,
        vocab_size=VOCABULARY,
        max_context=CONTEXT,
        layers=tuple(LayerRun(1, (kind,)) for kind in kinds),
        learned_positions=CONTEXT if model.learned_positions else 0,
        gqa=model.gqa and _gqa(model.gqa),
        mla=model.mla and _mla(model.mla),
        indexer=model.indexer and _indexer(model.indexer),
        delta_net=model.delta_net and _delta_net(model.delta_net),
        mamba=model.mamba and _mamba(model.mamba),
        compressed=model.compressed and _compressed(model.compressed),
        dense=model.dense and replace(model.dense, width=32),
        moe=model.moe and _moe(model.moe),
        sizes=_sizes(model),
        published=None,
    )


def with_mixers(model: Model, names: dict[str, str]) -> Model:
    """``model`` with mixers renamed in all layers, e.g. {"mla_dsa": "mla"}."""
    runs = tuple(
        LayerRun(run.repeat, tuple(Layer(names.get(x.mixer, x.mixer), x.ffn) for x in run.pattern))
        for run in model.layers
    )
    return replace(model, layers=runs)


def _sizes(model: Model) -> FrozenMap[str | int]:
    """Sizes of user-written blocks. ValueError names large ones without a small value to verify with."""
    sizes: dict[str, str | int] = {**model.sizes, **model.verify_sizes}
    large = [name for name, size in sizes.items() if isinstance(size, int) and size > HIDDEN]
    if large or model.verify_sizes.keys() - model.sizes.keys():
        missing = ", ".join(large) or "only names that sizes has"
        raise ValueError(f"{model.name}: verify_sizes needs a value of at most {HIDDEN} for: {missing}")
    return FrozenMap(sizes)


def _gqa(part: Gqa) -> Gqa:
    kv_heads = HEADS if part.kv_heads == part.heads else 2
    return replace(part, heads=HEADS, kv_heads=kv_heads, head_dim=16, window=5 if part.window else 0)


def _mla(part: Mla) -> Mla:
    q_rank = 24 if part.q_rank else 0
    return replace(part, heads=HEADS, q_rank=q_rank, kv_rank=16, nope_dim=8, rope_dim=4, v_dim=8)


def _indexer(part: Indexer) -> Indexer:
    return replace(part, heads=2 * HEADS, dim=16, topk=6, rope_dim=4)


def _delta_net(part: DeltaNet) -> DeltaNet:
    ratio = min(2, max(1, part.value_heads // part.key_heads))
    return replace(part, key_heads=HEADS, key_dim=8, value_heads=HEADS * ratio, value_dim=8)


def _mamba(part: Mamba) -> Mamba:
    return replace(part, heads=2 * HEADS, head_dim=8, groups=HEADS, state=8)


def _compressed(part: CompressedAttention) -> CompressedAttention:
    small = replace(part, heads=HEADS, head_dim=16, rope_dim=4, q_rank=24, out_groups=HEADS, out_rank=8)
    return replace(small, window=4, csa_ratio=2, hca_ratio=4)


def _moe(part: Moe) -> Moe:
    """Eight experts in at most four groups."""
    grouped = part.groups > 1
    return replace(
        part,
        experts=8,
        topk=min(part.topk, 4),
        width=16,
        shared_width=16 if part.shared_width else 0,
        groups=4 if grouped else 1,
        topk_groups=2 if grouped else 1,
        hash_layers=min(part.hash_layers, 1),
    )
