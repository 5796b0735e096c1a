"""A Hugging Face config.json becomes a model description; keys that were not understood are named, never dropped silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.models.convert_layers import layers_of
from simulator.models.convert_parts import PARTS, Reader

IGNORED = frozenset(
    (
        "architectures",
        "auto_map",
        "model_type",
        "torch_dtype",
        "dtype",
        "transformers_version",
        "use_cache",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "initializer_range",
        "attention_dropout",
        "hidden_dropout",
        "hidden_act",
        "pretraining_tp",
        "router_aux_loss_coef",
        "output_router_logits",
        "aux_loss_alpha",
        "seq_aux",
        "ep_size",
        "name_or_path",
        "_name_or_path",
        "use_sliding_window",
        "max_window_layers",
        "cache_implementation",
        "rope_interleave",
        "vision_config",
        "quantization_config",
    )
)
TOKEN_KEYS = ("_token_id", "_token_ids", "_token_index")
FAMILIES = (
    "bloom", "deepseek", "gemma", "glm", "gpt_oss", "kimi", "llama", "minimax", "mistral", "mixtral", "nemotron", "qwen",
)  # fmt: skip
"""Beginnings of model_type whose layers were checked against published parameter counts."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted description. document: the YAML mapping. unmapped: keys of the file that had no place in it.

    assumed: what had to be assumed because the file does not say.
    """

    document: dict[str, Any]
    unmapped: tuple[str, ...]
    assumed: tuple[str, ...]


def from_hugging_face(config: Mapping[str, Any], name: str, source: str = "") -> Converted:
    """Model description of a config.json (already parsed).

    Multimodal files: the text part is converted. ValueError names a missing key or an unknown kind of layer, and the keys
    that have no place in a description.
    """
    nested = config.get("text_config")
    text = {**config, **nested} if isinstance(nested, Mapping) else dict(config)
    text.pop("text_config", None)
    r = Reader(name, text)
    try:
        document = _document(r, name, source)
    except ValueError as error:
        left = _unmapped(r)
        raise ValueError(f"{error}; keys without a place: {', '.join(left)}" if left else str(error)) from None
    return Converted(document, _unmapped(r), tuple(r.assumed))


def _unmapped(r: Reader) -> tuple[str, ...]:
    """Keys that say something and were not read; a switch that is off says nothing."""
    return tuple(
        sorted(
            key
            for key, value in r.config.items()
            if key not in r.used
            and key not in IGNORED
            and not key.endswith(TOKEN_KEYS)
            and value not in (None, False, [], {})
        )
    )


def _document(r: Reader, name: str, source: str) -> dict[str, Any]:
    family = str(r.config.get("model_type", "")) or name.split("-")[0]
    if not family.startswith(FAMILIES):
        r.assume(f"family {family!r} is unknown: its layers are read by their keys alone")
    document: dict[str, Any] = {
        "name": name,
        "family": family,
        "source": source or "config.json given to silicast convert",
        "hidden_size": r.need("hidden_size", "n_embed"),
        "vocab_size": r.need("vocab_size"),
        "max_context": r.need("max_position_embeddings", "seq_length"),
        "tie_embeddings": bool(r.take("tie_word_embeddings", default=False)),
    }
    for part, convert in PARTS.items():
        found = convert(r)
        if found is not None:
            document[part] = found
    document["layers"] = layers_of(r, document)
    _rename_mtp(document)
    return document


def _rename_mtp(document: dict[str, Any]) -> None:
    """A prediction module is a layer like the last one."""
    if "mtp" in document:
        last = document["layers"][-1]["pattern"][-1]
        mixer = "swa" if "compressed" in document else last["mixer"]
        document["mtp"] |= {"mixer": mixer, "ffn": last["ffn"]}
