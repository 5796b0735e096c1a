"""Writes the golden logits of tiny models as transformers computes them (an independent implementation).

Needs torch and transformers 5.23, which the project itself does not: python tests/numerics/golden/regenerate.py [family ...]
Both sides get the same seeded weights (simulator.numerics.tensors) under their own names, in float64. Only token ids, logits
and a fingerprint of the weights are stored. What transformers computes in float32 (norms, some gates) limits agreement to
about 1e-6.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers

from simulator.numerics.scale_down import scale_down
from simulator.numerics.trial import prefill, run, sources
from simulator.profiles import load_model
from simulator.profiles.model import Model, Rope

FOLDER = Path(__file__).parent
TOKENS = 12
Weights = dict[str, np.ndarray]
Rule = Callable[[Weights, re.Match[str]], np.ndarray]


def rope(r: Rope) -> dict[str, object]:
    """rope_parameters of a configuration."""
    common: dict[str, object] = {"rope_theta": r.theta, "rope_type": r.kind, "partial_rotary_factor": r.share}
    if r.kind == "yarn":
        common |= {"factor": r.factor, "original_max_position_embeddings": r.original_context}
        common |= {"beta_fast": r.beta_fast, "beta_slow": r.beta_slow, "truncate": r.truncate}
        if r.softmax_scaling:
            common |= {"mscale": 1.0, "mscale_all_dim": 1.0}
    if r.kind == "llama3":
        common |= {"factor": r.factor, "original_max_position_embeddings": r.original_context}
        common |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    return common


def base(m: Model) -> dict[str, object]:
    """Sizes every family has."""
    sizes: dict[str, object] = {
        "vocab_size": m.vocab_size,
        "hidden_size": m.hidden_size,
        "num_hidden_layers": m.num_layers,
        "max_position_embeddings": m.max_context,
        "rms_norm_eps": m.norm.eps,
        "rope_parameters": rope(m.rope),
        "tie_word_embeddings": m.tie_embeddings,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    if m.gqa:
        sizes |= {"num_attention_heads": m.gqa.heads, "num_key_value_heads": m.gqa.kv_heads, "head_dim": m.gqa.head_dim}
    if m.dense:
        sizes["intermediate_size"] = m.dense.width
    if m.moe:
        sizes |= {"num_experts_per_tok": m.moe.topk, "norm_topk_prob": m.moe.normalise}
    return sizes


def deepseek_v3(m: Model) -> transformers.PreTrainedConfig:
    """DeepSeek-V3."""
    return transformers.DeepseekV3Config(**base(m), **_mla(m))


def deepseek_v32(m: Model) -> transformers.PreTrainedConfig:
    """DeepSeek-V3.2."""
    i = m.indexer
    return transformers.DeepseekV32Config(
        **base(m), **_mla(m), index_topk=i.topk, index_head_dim=i.dim, index_n_heads=i.heads
    )


def _mla(m: Model) -> dict[str, object]:
    a, e = m.mla, m.moe
    return {
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.heads,
        "q_lora_rank": a.q_rank,
        "kv_lora_rank": a.kv_rank,
        "qk_rope_head_dim": a.rope_dim,
        "qk_nope_head_dim": a.nope_dim,
        "v_head_dim": a.v_dim,
        "moe_intermediate_size": e.width,
        "n_shared_experts": e.shared_width // e.width,
        "n_routed_experts": e.experts,
        "n_group": e.groups,
        "topk_group": e.topk_groups,
        "routed_scaling_factor": e.scale,
        "first_k_dense_replace": sum(layer.ffn == "dense" for layer in m.sequence()),
    }


def glm_5(m: Model) -> transformers.PreTrainedConfig:
    """GLM-5."""
    i, kinds = m.indexer, {"dense": "dense", "moe": "sparse"}
    return transformers.GlmMoeDsaConfig(
        **base(m),
        **_mla(m),
        index_topk=i.topk,
        index_head_dim=i.dim,
        index_n_heads=i.heads,
        mlp_layer_types=[kinds[layer.ffn] for layer in m.sequence()],
    )


def glm_4_5(m: Model) -> transformers.PreTrainedConfig:
    """GLM-4.5."""
    e = m.moe
    return transformers.Glm4MoeConfig(
        **base(m),
        n_routed_experts=e.experts,
        n_shared_experts=e.shared_width // e.width,
        moe_intermediate_size=e.width,
        routed_scaling_factor=e.scale,
        n_group=e.groups,
        topk_group=e.topk_groups,
        attention_bias=m.gqa.qkv_bias,
        use_qk_norm=m.gqa.qk_norm == "head",
        first_k_dense_replace=sum(layer.ffn == "dense" for layer in m.sequence()),
    )


def deepseek_v4(m: Model) -> transformers.PreTrainedConfig:
    """DeepSeek-V4."""
    p, e, kinds = m.compressed, m.moe, {"swa": "sliding", "csa": "compressed_sparse", "hca": "heavily_compressed"}
    sizes = base(m)
    yarn = {k: v for k, v in rope(m.rope).items() if k != "partial_rotary_factor"}
    share = p.rope_dim / p.head_dim
    main = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": share}
    sizes["rope_parameters"] = {"main": main, "compress": {**yarn, "partial_rotary_factor": share}}
    return transformers.DeepseekV4Config(
        **sizes,
        num_attention_heads=p.heads,
        head_dim=p.head_dim,
        q_lora_rank=p.q_rank,
        moe_intermediate_size=e.width,
        n_routed_experts=e.experts,
        n_shared_experts=e.shared_width // e.width,
        routed_scaling_factor=e.scale,
        sliding_window=p.window,
        o_groups=p.out_groups,
        o_lora_rank=p.out_rank,
        index_n_heads=m.indexer.heads,
        index_head_dim=m.indexer.dim,
        index_topk=m.indexer.topk,
        layer_types=[f"{kinds[layer.mixer]}_attention" for layer in m.sequence()],
        compress_rates={"compressed_sparse_attention": p.csa_ratio, "heavily_compressed_attention": p.hca_ratio},
        mlp_layer_types=["hash_moe" if i < e.hash_layers else "moe" for i in range(m.num_layers)],
        partial_rotary_factor=share,
        hc_mult=m.hyper.streams,
        hc_sinkhorn_iters=m.hyper.iterations,
        swiglu_limit=e.clamp,
    )


def llama(m: Model) -> transformers.PreTrainedConfig:
    """Llama 3."""
    return transformers.LlamaConfig(**base(m))


def qwen3_moe(m: Model) -> transformers.PreTrainedConfig:
    """Qwen3 mixture of experts."""
    return transformers.Qwen3MoeConfig(**base(m), num_experts=m.moe.experts, moe_intermediate_size=m.moe.width)


def qwen3_next(m: Model) -> transformers.PreTrainedConfig:
    """Qwen3-Next."""
    d, e = m.delta_net, m.moe
    kinds = {"delta_net": "linear_attention", "gqa": "full_attention"}
    return transformers.Qwen3NextConfig(
        **base(m),
        num_experts=e.experts,
        moe_intermediate_size=e.width,
        shared_expert_intermediate_size=e.shared_width,
        linear_num_key_heads=d.key_heads,
        linear_num_value_heads=d.value_heads,
        linear_key_head_dim=d.key_dim,
        linear_value_head_dim=d.value_dim,
        linear_conv_kernel_dim=d.conv_kernel,
        layer_types=[kinds[layer.mixer] for layer in m.sequence()],
    )


def gpt_oss(m: Model) -> transformers.PreTrainedConfig:
    """gpt-oss."""
    kinds = {"gqa_window": "sliding_attention", "gqa": "full_attention"}
    return transformers.GptOssConfig(
        **base(m),
        intermediate_size=m.moe.width,
        num_local_experts=m.moe.experts,
        sliding_window=m.gqa.window,
        layer_types=[kinds[layer.mixer] for layer in m.sequence()],
    )


def minimax(m: Model) -> transformers.PreTrainedConfig:
    """MiniMax-M2."""
    sizes = base(m)
    rotary = int(m.gqa.head_dim * m.rope.share)
    return transformers.MiniMaxM2Config(
        **sizes, intermediate_size=m.moe.width, num_local_experts=m.moe.experts, rotary_dim=rotary
    )


def mixtral(m: Model) -> transformers.PreTrainedConfig:
    """Mixtral."""
    return transformers.MixtralConfig(
        **base(m), intermediate_size=m.moe.width, num_local_experts=m.moe.experts, sliding_window=None
    )


FAMILIES: dict[str, Callable[[Model], transformers.PreTrainedConfig]] = {
    "deepseek-v3": deepseek_v3,
    "deepseek-v3.2": deepseek_v32,
    "deepseek-v4-flash": deepseek_v4,
    "glm-4.5": glm_4_5,
    "glm-5": glm_5,
    "gpt-oss-20b": gpt_oss,
    "llama-3.1-8b": llama,
    "minimax-m2.5": minimax,
    "mixtral-8x7b": mixtral,
    "qwen3-30b-a3b": qwen3_moe,
    "qwen3-next-80b-a3b": qwen3_next,
}

# transformers' names without "model." -> ours; %s is the layer's prefix
RENAMED = {
    "embed_tokens.weight": "embedding.weight",
    "norm.weight": "final_norm.weight",
    "lm_head.weight": "head.weight",
    "hc_head.hc_fn": "stream_head.weight",
    "hc_head.hc_base": "stream_head.base",
    "hc_head.hc_scale": "stream_head.scale",
    "input_layernorm.weight": "attention_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "q_a_proj.weight": "q_a.weight",
    "q_a_layernorm.weight": "q_norm.weight",
    "q_a_norm.weight": "q_norm.weight",
    "q_b_proj.weight": "q_b.weight",
    "kv_proj.weight": "kv.weight",
    "kv_norm.weight": "kv_norm.weight",
    "kv_a_proj_with_mqa.weight": "kv_a.weight",
    "kv_a_layernorm.weight": "kv_norm.weight",
    "kv_b_proj.weight": "kv_b.weight",
    "o_proj.weight": "o_proj.weight",
    "o_proj.bias": "o_proj.bias",
    "o_b_proj.weight": "o_b.weight",
    "q_norm.weight": "q_norm.weight",
    "k_norm.weight": "k_norm.weight",
    "sinks": "sinks",
    "indexer.wq_b.weight": "index_q.weight",
    "indexer.wk.weight": "index_k.weight",
    "indexer.k_norm.weight": "index_k_norm.weight",
    "indexer.k_norm.bias": "index_k_norm.bias",
    "indexer.weights_proj.weight": "index_w.weight",
    "compressor.position_bias": "entry_bias",
    "compressor.kv_proj.weight": "entry_kv.weight",
    "compressor.gate_proj.weight": "entry_gate.weight",
    "compressor.kv_norm.weight": "entry_norm.weight",
    "compressor.indexer.position_bias": "index_bias",
    "compressor.indexer.kv_proj.weight": "index_kv.weight",
    "compressor.indexer.gate_proj.weight": "index_gate.weight",
    "compressor.indexer.kv_norm.weight": "index_norm.weight",
    "compressor.indexer.q_b_proj.weight": "index_q.weight",
    "compressor.indexer.scorer.weights_proj.weight": "index_w.weight",
    "gate.weight": "gate.weight",
    "router.weight": "gate.weight",
    "router.bias": "gate.bias",
    "gate.tid2eid": "gate.table",
    "gate.e_score_correction_bias": "gate.correction_bias",
    "e_score_correction_bias": "gate.correction_bias",
    "experts.gate_up_proj": "experts.up",
    "experts.down_proj": "experts.down",
    "experts.gate_up_proj_bias": "experts.up_bias",
    "experts.down_proj_bias": "experts.down_bias",
    "down_proj.weight": "down.weight",
    "shared_experts.down_proj.weight": "shared_down.weight",
    "shared_expert.down_proj.weight": "shared_down.weight",
    "shared_expert_gate.weight": "shared_gate.weight",
    "attn_hc.fn": "attention_mix.weight",
    "attn_hc.base": "attention_mix.base",
    "attn_hc.scale": "attention_mix.scale",
    "ffn_hc.fn": "ffn_mix.weight",
    "ffn_hc.base": "ffn_mix.base",
    "ffn_hc.scale": "ffn_mix.scale",
    "conv1d.weight": "conv.weight",
    "dt_bias": "decay_bias",
    "A_log": "decay_log",
    "norm_gated.weight": "mixer_norm.weight",
    "out_proj.weight": "o_proj.weight",
}


def array_for(name: str, shape: tuple[int, ...], m: Model, ours: Weights) -> np.ndarray:
    """Our numbers in the shape and order of one of transformers' parameters."""
    name = name.removeprefix("model.")
    layer, rest = "", name
    if found := re.match(r"layers\.(\d+)\.(.*)", name):
        layer, rest = f"layers.{found[1]}.", found[2]
        rest = re.sub(r"^(self_attn|mlp|linear_attn|block_sparse_moe)\.", "", rest)
    if "linear_attn" in name and rest == "norm.weight":
        rest = "norm_gated.weight"
    if special := _special(layer, rest, m, ours):
        return special()
    array = ours[layer + RENAMED[rest]]
    if m.name.startswith("gpt-oss") and rest.startswith("experts."):
        array = _gpt_oss_experts(rest, array)
    if rest == "norm.weight" or rest.endswith("layernorm.weight") or rest in ("q_norm.weight", "k_norm.weight"):
        array = array - 1.0 if m.name.startswith("qwen3-next") else array  # stored as the distance from one
    return array.reshape(shape)


def _special(layer: str, rest: str, m: Model, ours: Weights) -> Callable[[], np.ndarray] | None:
    """Parameters that are parts of ours, or several of ours."""
    if found := re.fullmatch(r"(shared_experts?\.)?(gate|up)_proj\.weight", rest):
        whole = ours[layer + ("shared_up.weight" if found[1] else "up.weight")]
        return lambda: np.split(whole, 2)[found[2] == "up"]
    if found := re.fullmatch(r"([qkv])_proj\.(weight|bias)", rest):
        return lambda: _qkv(found[1], ours[f"{layer}qkv.{found[2]}"], m)
    if rest == "o_a_proj.weight":
        return lambda: ours[f"{layer}o_a.weight"].reshape(-1, ours[f"{layer}o_a.weight"].shape[-1])
    if rest == "in_proj_qkvz.weight":
        return lambda: _by_key_head(ours[f"{layer}qkvz.weight"], m, _qkvz_sizes(m))
    if rest == "in_proj_ba.weight":
        heads = m.delta_net.value_heads
        a, b = np.split(ours[f"{layer}ab.weight"], 2)
        return lambda: _by_key_head(np.concatenate([b, a]), m, (heads, heads))
    return None


def _qkv(which: str, whole: np.ndarray, m: Model) -> np.ndarray:
    """Fused order: query, [output gate], key, value. Qwen3-Next keeps query and gate of a head side by side."""
    q, kv = m.gqa.heads * m.gqa.head_dim, m.gqa.kv_heads * m.gqa.head_dim
    gated = q if m.gqa.output_gate else 0
    query, gate, key, value = np.split(whole, np.cumsum([q, gated, kv]))
    if which == "q" and gated:
        pairs = [p.reshape(m.gqa.heads, m.gqa.head_dim, -1) for p in (query, gate)]
        return np.concatenate(pairs, axis=1).reshape(2 * q, -1)
    return {"q": query, "k": key, "v": value}[which]


def _qkvz_sizes(m: Model) -> tuple[int, ...]:
    d = m.delta_net
    keys, values = d.key_heads * d.key_dim, d.value_heads * d.value_dim
    return keys, keys, values, values


def _by_key_head(whole: np.ndarray, m: Model, sizes: tuple[int, ...]) -> np.ndarray:
    """Blocks one after the other -> the rows of all blocks that belong to a key head together."""
    blocks = np.split(whole, np.cumsum(sizes)[:-1])
    heads = m.delta_net.key_heads
    parts = [b.reshape(heads, len(b) // heads, -1) for b in blocks]
    return np.concatenate(parts, axis=1).reshape(len(whole), -1)


def _gpt_oss_experts(rest: str, array: np.ndarray) -> np.ndarray:
    """gpt-oss stores [experts, in, out] and interleaves gate and up."""
    if rest.startswith("experts.gate_up_proj"):
        gate, up = np.split(array, 2, axis=1)
        array = np.stack([gate, up], axis=2).reshape(array.shape)
    return array if rest.endswith("bias") else array.transpose(0, 2, 1)


def golden(family: str) -> dict[str, np.ndarray]:
    """ids, logits of transformers, and a fingerprint of the weights."""
    tiny = scale_down(load_model(family))
    weights, inputs = sources(tiny, prefill(TOKENS))
    config = FAMILIES[family](tiny)
    config._experts_implementation = "eager"
    config._attn_implementation = "eager"
    torch.set_default_dtype(torch.float64)
    model = transformers.AutoModelForCausalLM.from_config(config).double().eval()
    state = {
        name: torch.from_numpy(np.array(array_for(name, tuple(p.shape), tiny, weights)).copy()).reshape(p.shape)
        for name, p in model.state_dict().items()
    }
    model.load_state_dict(state)
    ids = inputs["ids"].reshape(-1, TOKENS)
    with torch.no_grad():
        logits = model(torch.from_numpy(ids), use_cache=False).logits.numpy()
    return {"ids": ids, "logits": logits.astype(np.float32), "fingerprint": fingerprint(weights)}


def fingerprint(weights: Weights) -> np.ndarray:
    """Sum and sum of absolute values of every weight, in name order."""
    return np.array([[weights[name].sum(), np.abs(weights[name]).sum()] for name in sorted(weights)])


def main() -> None:
    """Write the files and show how far the project's own logits are from them."""
    for family in sys.argv[1:] or FAMILIES:
        data = golden(family)
        tiny = scale_down(load_model(family))
        result = run(tiny, prefill(TOKENS))
        own = next(result.values[0][n.outputs[0]] for n in result.graph.nodes if n.name == "logits")
        error = np.linalg.norm(own - data["logits"]) / np.linalg.norm(data["logits"])
        np.savez_compressed(FOLDER / f"{family}.npz", **data)
        print(f"{family}: relative distance {error:.2e}")


if __name__ == "__main__":
    main()
