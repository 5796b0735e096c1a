"""Order of layers in a Hugging Face config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.models.convert_parts import Reader


def layers_of(r: Reader, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Order of layers, equal neighbours folded into runs."""
    count = r.need("num_hidden_layers", "n_layer")
    mixers = _mixers(r, count, document)
    ffns = _ffns(r, count, document)
    if r.has("hybrid_override_pattern"):
        return _hybrid(r.need("hybrid_override_pattern"), r.name)
    runs: list[dict[str, Any]] = []
    for mixer, ffn in zip(mixers, ffns, strict=True):
        pattern = [{"mixer": mixer, "ffn": ffn}]
        if runs and runs[-1]["pattern"] == pattern:
            runs[-1]["repeat"] += 1
        else:
            runs.append({"repeat": 1, "pattern": pattern})
    return runs


def _mixers(r: Reader, count: int, document: Mapping[str, Any]) -> list[str]:
    if "compressed" in document:
        part = document["compressed"]
        names = {0: "swa", part["csa_ratio"]: "csa", part["hca_ratio"]: "hca"}
        return [names[int(x)] for x in r.need("compress_ratios")[:count]]
    if "mla" in document:
        return ["mla_dsa" if "indexer" in document else "mla"] * count
    known = {"linear_attention": "delta_net", "full_attention": "gqa", "sliding_attention": "gqa_window"}
    known |= {"chunked_attention": "gqa_window"}
    kinds = r.take("layer_types")
    chunked = 4 if r.has("attention_chunk_size") else None  # Llama 4: every fourth layer sees all
    interval = r.take("full_attention_interval", "sliding_window_pattern", "no_rope_layer_interval", default=chunked)
    if kinds:
        unknown = sorted(set(kinds) - set(known))
        if unknown:
            raise ValueError(f"{r.name}: unknown layer_types {unknown}; known: {', '.join(known)}")
        return [known[k] for k in kinds]
    other = "delta_net" if "delta_net" in document else "gqa_window" if document.get("gqa", {}).get("window") else "gqa"
    if interval:
        return ["gqa" if (i + 1) % interval == 0 else other for i in range(count)]
    return [other] * count


def _ffns(r: Reader, count: int, document: Mapping[str, Any]) -> list[str]:
    if "moe" not in document:
        return ["dense"] * count
    kinds = r.take("mlp_layer_types")
    if kinds:
        return ["dense" if kind == "dense" else "moe" for kind in kinds]
    first = r.take("first_k_dense_replace", default=0)
    step = r.take("moe_layer_freq", "decoder_sparse_step", "interleave_moe_layer_step", default=1)
    if isinstance(step, list):
        return ["moe" if s else "dense" for s in step]
    only = set(r.take("mlp_only_layers", default=()))
    return ["moe" if i >= first and (i + 1) % step == 0 and i not in only else "dense" for i in range(count)]


def _hybrid(pattern: str, name: str) -> list[dict[str, Any]]:
    table = {"M": ("mamba", "none"), "*": ("gqa", "none"), "-": ("none", "dense"), "E": ("none", "moe")}
    unknown = sorted(set(pattern) - set(table))
    if unknown:
        raise ValueError(f"{name}: unknown letters {unknown} in hybrid_override_pattern; known: {', '.join(table)}")
    return [{"repeat": 1, "pattern": [{"mixer": table[c][0], "ffn": table[c][1]}]} for c in pattern]
