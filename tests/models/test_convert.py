"""Hugging Face files become descriptions whose counts are those of the bundled models."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from simulator.models.convert import from_hugging_face
from simulator.models.parameters import parameters
from simulator.profiles.model import Layer, LayerRun, Model
from tests.cli.command import silicast
from tests.models.bundled import model

V3: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "n_group": 8,
    "topk_group": 4,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "norm_topk_prob": True,
    "routed_scaling_factor": 2.5,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "num_nextn_predict_layers": 1,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000,
    "rope_scaling": {
        "type": "yarn",
        "factor": 40,
        "original_max_position_embeddings": 4096,
        "beta_fast": 32,
        "beta_slow": 1,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
    },
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    "tie_word_embeddings": False,
}
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8192,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
    "mlp_bias": False,
}
GPT_OSS: dict[str, Any] = {
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "vocab_size": 201088,
    "max_position_embeddings": 131072,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "attention_bias": True,
    "intermediate_size": 2880,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "rms_norm_eps": 1e-05,
    "rope_theta": 150000,
    "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096},
    "quantization_config": {"quant_method": "mxfp4"},
}
QWEN_NEXT: dict[str, Any] = {
    "model_type": "qwen3_next",
    "hidden_size": 2048,
    "vocab_size": 151936,
    "max_position_embeddings": 262144,
    "num_hidden_layers": 48,
    "full_attention_interval": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "partial_rotary_factor": 0.25,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
    "num_experts": 512,
    "num_experts_per_tok": 10,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "decoder_sparse_step": 1,
    "intermediate_size": 5120,
    "mtp_num_hidden_layers": 1,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000000,
}
V4: dict[str, Any] = {
    "model_type": "deepseek_v4",
    "hidden_size": 4096,
    "vocab_size": 129280,
    "max_position_embeddings": 1048576,
    "num_hidden_layers": 43,
    "compress_ratios": [0, 0, *([4, 128] * 20), 4, 0],
    "num_attention_heads": 64,
    "num_key_value_heads": 1,
    "head_dim": 512,
    "q_lora_rank": 1024,
    "qk_rope_head_dim": 64,
    "o_groups": 8,
    "o_lora_rank": 1024,
    "sliding_window": 128,
    "index_topk": 512,
    "index_n_heads": 64,
    "index_head_dim": 128,
    "hc_mult": 4,
    "hc_sinkhorn_iters": 20,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 6,
    "num_hash_layers": 3,
    "num_nextn_predict_layers": 1,
    "routed_scaling_factor": 1.5,
    "scoring_func": "sqrtsoftplus",
    "topk_method": "noaux_tc",
    "swiglu_limit": 10.0,
    "expert_dtype": "fp4",
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000,
    "compress_rope_theta": 160000,
    "rope_scaling": {"type": "yarn", "factor": 16, "original_max_position_embeddings": 65536},
}
RWKV: dict[str, Any] = {
    "model_type": "rwkv",
    "hidden_size": 4096,
    "attention_hidden_size": 4096,
    "num_hidden_layers": 32,
    "vocab_size": 65536,
    "context_length": 1024,
    "intermediate_size": 14336,
    "rescale_every": 6,
}
RELEASED_FILE = Path(__file__).with_name("released_configs.json")
CASES = {
    "deepseek-v4-flash": V4,
    "deepseek-v3": V3,
    "deepseek-v3.2": V3 | {"index_topk": 2048, "index_n_heads": 64, "index_head_dim": 128},
    "llama-3.1-70b": LLAMA,
    "gpt-oss-20b": GPT_OSS,
    "qwen3-next-80b-a3b": QWEN_NEXT,
}


def as_model(document: dict[str, Any]) -> Model:
    """The description as a model, parts made from their mappings."""
    kinds = {f.name: f for f in dataclasses.fields(Model)}
    parts = {}
    for key, value in document.items():
        if key == "layers":
            value = tuple(LayerRun(x["repeat"], tuple(Layer(**p) for p in x["pattern"])) for x in value)
        elif isinstance(value, dict):
            examples = ("deepseek-v3.2", "qwen3-next-80b-a3b", "deepseek-v4-flash")
            reference = next(getattr(model(n), key) for n in examples if getattr(model(n), key) is not None)
            value = type(reference)(**value)
        parts[key] = value
    assert set(parts) <= set(kinds)
    return Model(**parts)


@pytest.mark.parametrize("name", CASES)
def test_converted_counts_are_those_of_the_bundled_model(name: str) -> None:
    converted = from_hugging_face(CASES[name], name)
    found, bundled = parameters(as_model(converted.document)), parameters(model(name))
    assert (found.total, found.active, found.mtp) == (bundled.total, bundled.active, bundled.mtp)
    assert converted.unmapped == ()


def test_descriptions_keep_formats_windows_and_rotations() -> None:
    v3 = from_hugging_face(V3, "v3").document
    assert v3["formats"]["experts"] == "fp8_block"
    assert v3["rope"]["softmax_scaling"]
    assert v3["layers"] == [
        {"repeat": 3, "pattern": [{"mixer": "mla", "ffn": "dense"}]},
        {"repeat": 58, "pattern": [{"mixer": "mla", "ffn": "moe"}]},
    ]
    oss = from_hugging_face(GPT_OSS, "oss").document
    assert oss["gqa"]["window"] == 128
    assert "dense" not in oss


def test_keys_without_a_place_are_named() -> None:
    assert from_hugging_face(LLAMA, "llama").unmapped == ()
    assert from_hugging_face(LLAMA | {"mlp_bias": True}, "llama").unmapped == ("mlp_bias",)
    assert from_hugging_face(V3 | {"a_new_idea": 7}, "v3").unmapped == ("a_new_idea",)


def test_what_is_not_said_is_listed_as_assumed() -> None:
    odd = V3 | {"quantization_config": {"quant_method": "awq"}}
    assert any("awq" in a for a in from_hugging_face(odd, "v3").assumed)


RELEASED = {k: v for k, v in json.loads(RELEASED_FILE.read_text()).items() if k != "_source"}
KNOWN = [k for k, v in RELEASED.items() if v["published"]]
UNKNOWN = {
    "laguna-xs.2": {"gating", "num_attention_heads_per_layer"},
    "longcat-flash": {"zero_expert_num", "moe_topk", "num_layers", "expert_ffn_hidden_size"},
    "rwkv-7": {"attention_hidden_size", "rescale_every"},
}


def test_ten_families_are_covered() -> None:
    assert len({v["config"]["model_type"] for k, v in RELEASED.items() if k in KNOWN}) >= 10


@pytest.mark.parametrize("name", KNOWN)
def test_released_files_give_the_published_counts(name: str) -> None:
    """Makers round to two or three digits, and some count the prediction modules."""
    converted = from_hugging_face(RELEASED[name]["config"], name)
    count = parameters(as_model(converted.document))
    published = RELEASED[name]["published"] * 1e9
    assert min(abs(total / published - 1) for total in (count.total, count.total + count.mtp)) < 0.013
    assert converted.unmapped == ()


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_families_name_what_has_no_place(name: str, tmp_path: Path) -> None:
    """Converted or refused, standard error names the keys."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(RWKV if name == "rwkv-7" else RELEASED[name]["config"]))
    outcome = silicast("convert", str(file), "--name", name, "--out", str(tmp_path / "model.yaml"))
    assert all(key in outcome.stderr for key in UNKNOWN[name]), outcome.stderr
    if outcome.status:
        assert outcome.status == 2
        assert len(outcome.lines) == 1
        assert not (tmp_path / "model.yaml").exists()
    else:
        assert "is unknown" in outcome.stderr


def test_text_part_of_a_multimodal_file_is_converted() -> None:
    whole = {"model_type": "kimi_k25", "text_config": LLAMA, "vision_config": {"depth": 27}}
    assert from_hugging_face(whole, "m").document["hidden_size"] == 8192


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "no 'hidden_size'"),
        ({"layer_types": ["spiral_attention"] * 80}, r"unknown layer_types \['spiral_attention'\]"),
        ({"hybrid_override_pattern": "MX"}, r"unknown letters \['X'\]"),
    ],
)
def test_files_that_cannot_be_converted_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_hugging_face(LLAMA | change, "llama")
