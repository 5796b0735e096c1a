"""Parts of a Hugging Face config.json by the keys that announce them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_NONE: Any = object()


class Reader:
    """Reads keys and remembers which were used and what was assumed."""

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self.name, self.config = name, config
        self.used: set[str] = set()
        self.assumed: list[str] = []

    def take(self, *names: str, default: Any = None) -> Any:
        """Value of the first key that is there and not null."""
        self.used.update(n for n in names if n in self.config)
        return next((self.config[n] for n in names if self.config.get(n) is not None), default)

    def need(self, *names: str) -> Any:
        """As ``take``; ValueError if no key is there."""
        value = self.take(*names, default=_NONE)
        if value is _NONE:
            raise ValueError(f"{self.name}: config.json has no {' or '.join(map(repr, names))}")
        return value

    def has(self, name: str) -> bool:
        """Whether a key is there and not null."""
        return self.config.get(name) is not None

    def assume(self, what: str) -> None:
        """Notes an assumption."""
        self.assumed.append(what)


POSITION_BIASED = ("bloom", "falcon", "gpt2", "mpt", "opt")
"""Families that mark positions by other means than rotation."""


def rope(r: Reader) -> dict[str, Any] | None:
    """Rotary embedding and its context extension."""
    scaling = r.take("rope_scaling", "rope_parameters", default={})
    if isinstance(scaling.get("full_attention"), Mapping):
        r.assume("rotary embeddings differ by kind of layer: that of full attention stands for all")
        scaling = scaling["full_attention"]
    theta = r.take("compress_rope_theta", "rope_theta", default=scaling.get("rope_theta"))
    if theta is None and str(r.config.get("model_type", "")) in POSITION_BIASED:
        r.assume("no rope_theta: no rotary embedding")
        return {"kind": "none"}
    if theta is None:
        theta = 10000.0
        r.assume("no rope_theta: 10,000, the default of its library")
    out: dict[str, Any] = {"theta": float(theta)}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind in ("yarn", "llama3"):
        out |= {"kind": kind, "factor": float(scaling["factor"])}
        out["original_context"] = int(scaling.get("original_max_position_embeddings", 0))
        out |= {k: float(scaling[k]) for k in ("beta_fast", "beta_slow") if k in scaling}
        if scaling.get("mscale_all_dim"):
            out["softmax_scaling"] = True
    elif kind not in ("default", "linear", "mrope", None):
        r.assume(f"rope scaling {kind!r} is treated as none")
    share = r.take("partial_rotary_factor", default=scaling.get("partial_rotary_factor", 1.0))
    rotary = r.take("rotary_dim")
    if rotary and r.has("head_dim"):
        share = rotary / r.config["head_dim"]
    if share != 1.0:
        out["share"] = float(share)
    if r.has("kv_lora_rank") or r.has("compress_ratios"):
        out["interleaved"] = True
    return out


def norm(r: Reader) -> dict[str, Any]:
    """Residual-stream norms."""
    if r.has("layer_norm_epsilon") and not r.has("rms_norm_eps"):
        return {"kind": "layer", "eps": float(r.take("layer_norm_epsilon"))}
    out: dict[str, Any] = {"kind": "rms", "eps": float(r.take("rms_norm_eps", default=1e-6))}
    if str(r.config.get("model_type", "")).startswith("gemma"):
        out["per_layer"] = 4
    return out


def gqa(r: Reader) -> dict[str, Any] | None:
    """Grouped-query attention (also of hybrids)."""
    if r.has("kv_lora_rank") or r.has("compress_ratios"):
        r.take("num_key_value_heads", "head_dim", "attention_bias")
        return None
    heads = r.need("num_attention_heads", "n_head")
    dim = r.take("head_dim", default=r.config.get("hidden_size", 0) // heads)
    out: dict[str, Any] = {"heads": heads, "kv_heads": r.take("num_key_value_heads", default=heads), "head_dim": dim}
    window = r.take("sliding_window", "attention_chunk_size")
    if window and _windowed(r):
        out["window"] = window
    kind = str(r.config.get("model_type", ""))
    if kind.startswith(("qwen3", "gemma3")) or r.take("use_qk_norm"):
        out["qk_norm"] = "layer" if r.take("qk_norm_type") == "per_layer" else "head"
    if r.take("attention_bias", "qkv_bias") or kind in ("qwen2", "bloom", "qwen2_moe"):
        out["qkv_bias"] = True
    if kind in ("gpt_oss", "bloom"):
        out["out_bias"] = True
    if kind == "gpt_oss":
        out["sinks"] = True
    if r.take("attn_output_gate") or kind == "qwen3_next":
        out["output_gate"] = True
    return out


def mla(r: Reader) -> dict[str, Any] | None:
    """Latent attention."""
    if not r.has("kv_lora_rank"):
        return None
    return {
        "heads": r.need("num_attention_heads"),
        "q_rank": r.take("q_lora_rank", default=0),
        "kv_rank": r.need("kv_lora_rank"),
        "nope_dim": r.need("qk_nope_head_dim"),
        "rope_dim": r.need("qk_rope_head_dim"),
        "v_dim": r.need("v_head_dim"),
    }


def compressed(r: Reader) -> dict[str, Any] | None:
    """DeepSeek-V4 attention over a window and pooled tokens."""
    ratios = r.config.get("compress_ratios")
    if ratios is None:
        return None
    pooled = sorted({int(x) for x in ratios} - {0})
    if len(pooled) != 2:
        raise ValueError(f"{r.name}: compress_ratios must hold two ratios besides 0, got {pooled}")
    return {
        "heads": r.need("num_attention_heads"),
        "head_dim": r.need("head_dim"),
        "rope_dim": r.need("qk_rope_head_dim"),
        "q_rank": r.need("q_lora_rank"),
        "out_groups": r.need("o_groups"),
        "out_rank": r.need("o_lora_rank"),
        "window": r.need("sliding_window"),
        "csa_ratio": pooled[0],
        "hca_ratio": pooled[1],
    }


def hyper(r: Reader) -> dict[str, Any] | None:
    """Hyper-connections."""
    r.take("hc_eps")
    streams = r.take("hc_mult", default=1)
    return {"streams": streams, "iterations": r.take("hc_sinkhorn_iters", default=20)} if streams > 1 else None


def indexer(r: Reader) -> dict[str, Any] | None:
    """Sparse-attention indexer."""
    if not r.has("index_topk"):
        if "dsa" in str(r.config.get("model_type", "")):
            r.assume("no index_topk: attention is described as dense")
        return None
    out = {"heads": r.need("index_n_heads"), "dim": r.need("index_head_dim"), "topk": r.need("index_topk")}
    if r.take("indexer_rope_interleave"):
        out["rope_interleaved"] = True
    return out


def delta_net(r: Reader) -> dict[str, Any] | None:
    """Gated delta-rule layers."""
    if not r.has("linear_num_value_heads"):
        return None
    return {
        "key_heads": r.need("linear_num_key_heads"),
        "key_dim": r.need("linear_key_head_dim"),
        "value_heads": r.need("linear_num_value_heads"),
        "value_dim": r.need("linear_value_head_dim"),
        "conv_kernel": r.take("linear_conv_kernel_dim", default=4),
    }


def mamba(r: Reader) -> dict[str, Any] | None:
    """State-space layers."""
    if not r.has("mamba_num_heads"):
        return None
    return {
        "heads": r.need("mamba_num_heads"),
        "head_dim": r.need("mamba_head_dim"),
        "groups": r.take("n_groups", "mamba_n_groups", default=1),
        "state": r.need("ssm_state_size"),
        "conv_kernel": r.take("conv_kernel", default=4),
    }


def dense(r: Reader) -> dict[str, Any] | None:
    """Dense feed-forward; absent when every layer has experts."""
    width = r.take("intermediate_size_mlp", "intermediate_size", "ffn_hidden_size")
    kind = str(r.config.get("model_type", ""))
    if kind == "bloom":
        return {"width": 4 * r.need("hidden_size", "n_embed"), "gated": False, "bias": True}
    if width is None or (_experts(r) and not _dense_layers(r)):
        return None
    if r.take("mlp_hidden_act") == "relu2":
        return {"width": width, "gated": False, "activation": "relu2"}
    return {"width": width}


def moe(r: Reader) -> dict[str, Any] | None:
    """Mixture of experts."""
    count = _experts(r)
    if not count:
        return None
    width = r.take("moe_intermediate_size", default=r.config.get("intermediate_size"))
    out: dict[str, Any] = {
        "experts": count,
        "topk": r.need("num_experts_per_tok", "experts_per_token"),
        "width": width,
    }
    shared = r.take("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "share_expert_dim")
    number = r.take("n_shared_experts", "num_shared_experts", default=1 if _llama4(r) else 0)
    if shared or number:
        out["shared_width"] = shared or number * width
    if (r.take("n_group", default=1) or 1) > 1:
        out |= {"groups": r.config["n_group"], "topk_groups": r.need("topk_group")}
    r.take("topk_group")
    scoring = r.take("scoring_func", default="sigmoid" if r.has("topk_method") or _llama4(r) else "softmax")
    out["scoring"] = {"sqrtsoftplus": "sqrt_softplus", "sqrt(softplus)": "sqrt_softplus"}.get(scoring, scoring)
    if r.take("topk_method") == "noaux_tc" or r.take("use_routing_bias"):
        out["routing_bias"] = True
    if not r.take("norm_topk_prob", default=not _llama4(r)):
        out["normalise"] = False
    out["scale"] = float(r.take("routed_scaling_factor", "moe_routed_scaling_factor", default=1.0))
    if str(r.config.get("model_type", "")) == "gpt_oss":
        clamp = float(r.take("swiglu_limit", default=7.0))
        out |= {"expert_bias": True, "router_bias": True, "clamp": clamp, "alpha": 1.702, "up_offset": 1.0}
    elif r.has("swiglu_limit"):
        out["clamp"] = float(r.take("swiglu_limit"))
    if r.take("num_hash_layers"):
        out["hash_layers"] = r.config["num_hash_layers"]
    if r.has("linear_num_value_heads") and shared:
        out["shared_gate"] = True
    return out


def mtp(r: Reader) -> dict[str, Any] | None:
    """Prediction modules."""
    count = r.take("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", default=0)
    if not count:
        return None
    return {"layers": count} | ({"split_projection": True} if r.has("compress_ratios") else {})


def formats(r: Reader) -> dict[str, Any] | None:
    """Formats of the released weights."""
    quant = r.take("quantization_config", default={})
    method = quant.get("quant_method")
    if r.take("expert_dtype") == "fp4":
        return {"attention": "fp8_block", "shared": "fp8_block", "experts": "mxfp4", "index_cache": "mxfp4"}
    if method == "fp8":
        return dict.fromkeys(("attention", "dense", "experts", "shared"), "fp8_block")
    if method == "mxfp4":
        return {"experts": "mxfp4"}
    if method:
        r.assume(f"quantisation {method!r} is not mapped; weights are described as 16 bit")
    return None


PARTS: dict[str, Callable[[Reader], dict[str, Any] | None]] = {
    "rope": rope,
    "norm": norm,
    "gqa": gqa,
    "mla": mla,
    "compressed": compressed,
    "hyper": hyper,
    "indexer": indexer,
    "delta_net": delta_net,
    "mamba": mamba,
    "dense": dense,
    "moe": moe,
    "mtp": mtp,
    "formats": formats,
}


def _llama4(r: Reader) -> bool:
    """Llama 4 does not state its shared expert, nor that its router weighs by a sigmoid."""
    return str(r.config.get("model_type", "")).startswith("llama4")


def _experts(r: Reader) -> int:
    return int(r.take("n_routed_experts", "num_experts", "num_local_experts", default=0))


def _dense_layers(r: Reader) -> bool:
    first, step = r.config.get("first_k_dense_replace") or 0, r.config.get("decoder_sparse_step") or 1
    hybrid = "-" in str(r.config.get("hybrid_override_pattern", ""))
    alternate = (r.config.get("interleave_moe_layer_step") or 1) > 1
    listed = "dense" in (r.config.get("mlp_layer_types") or ())
    return listed or first > 0 or step > 1 or bool(r.config.get("mlp_only_layers")) or hybrid or alternate


def _windowed(r: Reader) -> bool:
    """Whether any layer really uses the window (some files state one and switch it off)."""
    return r.config.get("use_sliding_window") is not False
