"""A tiny model of the same family: every kind of layer once, small widths, the same structure.

Small enough to execute in numpy in well under a second, with all dimensions divisible over four ranks.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.profiles.model import Layer, LayerRun, Model

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
        published=None,
        **_mixers(model),
        **_feed_forwards(model),
    )


def with_mixers(model: Model, names: dict[str, str]) -> Model:
    """``model`` with mixers renamed in all layers, e.g. {"mla_dsa": "mla"}."""
    runs = tuple(
        LayerRun(run.repeat, tuple(Layer(names.get(x.mixer, x.mixer), x.ffn) for x in run.pattern))
        for run in model.layers
    )
    return replace(model, layers=runs)


def _mixers(model: Model) -> dict[str, object]:
    """Attention, recurrent and indexer parts."""
    small: dict[str, object] = {}
    if model.gqa:
        kv_heads = HEADS if model.gqa.kv_heads == model.gqa.heads else 2
        window = 5 if model.gqa.window else 0
        small["gqa"] = replace(model.gqa, heads=HEADS, kv_heads=kv_heads, head_dim=16, window=window)
    if model.mla:
        q_rank = 24 if model.mla.q_rank else 0
        small["mla"] = replace(model.mla, heads=HEADS, q_rank=q_rank, kv_rank=16, nope_dim=8, rope_dim=4, v_dim=8)
    if model.indexer:
        small["indexer"] = replace(model.indexer, heads=HEADS, dim=16, topk=6, rope_dim=8)
    if model.delta_net:
        ratio = max(1, model.delta_net.value_heads // model.delta_net.key_heads)
        small["delta_net"] = replace(
            model.delta_net, key_heads=HEADS, key_dim=8, value_heads=HEADS * min(ratio, 2), value_dim=8
        )
    if model.mamba:
        small["mamba"] = replace(model.mamba, heads=2 * HEADS, head_dim=8, groups=HEADS, state=8)
    if model.compressed:
        small["compressed"] = replace(
            model.compressed, heads=HEADS, head_dim=16, rope_dim=4, q_rank=24, out_groups=HEADS, out_rank=8, window=4,
            csa_ratio=2, hca_ratio=4,
        )  # fmt: skip
    return small


def _feed_forwards(model: Model) -> dict[str, object]:
    """Dense and expert parts; eight experts in at most four groups."""
    small: dict[str, object] = {}
    if model.dense:
        small["dense"] = replace(model.dense, width=32)
    if model.moe:
        groups = 4 if model.moe.groups > 1 else 1
        small["moe"] = replace(
            model.moe,
            experts=8,
            topk=min(model.moe.topk, 4),
            width=16,
            shared_width=16 if model.moe.shared_width else 0,
            groups=groups,
            topk_groups=2 if groups > 1 else 1,
            hash_layers=min(model.moe.hash_layers, 1),
        )
    return small
