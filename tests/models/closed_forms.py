"""Counts of a model from its sizes alone, by formulas that share no code with the graph builder."""

from __future__ import annotations

from simulator.profiles.model import Layer, Model


def mixer_matrices(m: Model, mixer: str) -> int:
    """Weights of a mixer that multiply every token."""
    h = m.hidden_size
    if mixer in ("gqa", "gqa_window"):
        p = m.gqa
        q = p.heads * p.head_dim
        return h * (q * (2 if p.output_gate else 1) + 2 * p.kv_heads * p.head_dim) + q * h
    if mixer.startswith("mla"):
        p = m.mla
        down = h * p.q_rank + h * (p.kv_rank + p.rope_dim)
        up = p.q_rank * p.heads * (p.nope_dim + p.rope_dim) + p.kv_rank * p.heads * (p.nope_dim + p.v_dim)
        index = 0
        if mixer == "mla_dsa":
            i = m.indexer
            index = p.q_rank * i.heads * i.dim + h * i.dim + h * i.heads
        return down + up + p.heads * p.v_dim * h + index
    if mixer == "delta_net":
        p = m.delta_net
        keys, values = p.key_heads * p.key_dim, p.value_heads * p.value_dim
        return h * (2 * keys + 2 * values) + h * 2 * p.value_heads + values * h
    if mixer == "mamba":
        p = m.mamba
        inner = p.heads * p.head_dim
        return h * (2 * inner + 2 * p.groups * p.state + p.heads) + inner * h
    if mixer in ("csa", "hca", "swa"):
        return _compressed_matrices(m, mixer)
    return 0


def _compressed_matrices(m: Model, mixer: str) -> int:
    h, p, i = m.hidden_size, m.compressed, m.indexer
    wide = p.heads * p.head_dim
    total = h * p.q_rank + p.q_rank * wide + h * p.head_dim + wide * p.out_rank + p.out_groups * p.out_rank * h
    if mixer == "hca":
        total += 2 * h * p.head_dim
    if mixer == "csa":
        total += 2 * h * 2 * p.head_dim + 2 * h * 2 * i.dim + p.q_rank * i.heads * i.dim + h * i.heads
    return total


def mixer_vectors(m: Model, mixer: str) -> int:
    """Norms, biases, sinks and other small weights of a mixer."""
    h = m.hidden_size
    if mixer in ("gqa", "gqa_window"):
        p = m.gqa
        q, kv = p.heads * p.head_dim, p.kv_heads * p.head_dim
        norms = {"none": 0, "head": 2 * p.head_dim, "layer": q + kv}[p.qk_norm]
        biases = (q * (2 if p.output_gate else 1) + 2 * kv if p.qkv_bias else 0) + (h if p.out_bias else 0)
        return norms + biases + (p.heads if p.sinks else 0)
    if mixer.startswith("mla"):
        return m.mla.q_rank + m.mla.kv_rank + (2 * m.indexer.dim if mixer == "mla_dsa" else 0)
    if mixer == "delta_net":
        p = m.delta_net
        channels = 2 * p.key_heads * p.key_dim + p.value_heads * p.value_dim
        return channels * p.conv_kernel + 2 * p.value_heads + p.value_dim
    if mixer == "mamba":
        p = m.mamba
        inner = p.heads * p.head_dim
        return (inner + 2 * p.groups * p.state) * p.conv_kernel + 3 * p.heads + inner
    if mixer in ("csa", "hca", "swa"):
        p, i = m.compressed, m.indexer
        base = p.q_rank + p.head_dim + p.heads
        if mixer == "hca":
            return base + p.hca_ratio * p.head_dim + p.head_dim
        if mixer == "csa":
            return base + p.csa_ratio * 2 * p.head_dim + p.head_dim + p.csa_ratio * 2 * i.dim + i.dim
        return base
    return 0


def ffn_matrices(m: Model, ffn: str) -> tuple[int, int]:
    """(weights held, weights one token multiplies)."""
    h = m.hidden_size
    if ffn == "dense":
        n = (3 if m.dense.gated else 2) * h * m.dense.width
        return n, n
    if ffn == "moe":
        p = m.moe
        per = 3 if p.gated else 2
        common = h * p.experts + per * h * p.shared_width + (h if p.shared_gate else 0)
        return common + p.experts * per * h * p.width, common + p.topk * per * h * p.width
    return 0, 0


def ffn_vectors(m: Model, ffn: str, hashed: bool) -> tuple[int, int]:
    """(biases held, biases of one token)."""
    h = m.hidden_size
    if ffn == "dense" and m.dense.bias:
        n = (2 if m.dense.gated else 1) * m.dense.width + h
        return n, n
    if ffn == "moe":
        p = m.moe
        common = (p.experts if p.routing_bias and not hashed else 0) + (p.experts if p.router_bias else 0)
        each = ((2 if p.gated else 1) * p.width + h) if p.expert_bias else 0
        return common + p.experts * each, common + p.topk * each
    return 0, 0


def _layer_norms(m: Model, layer: Layer) -> int:
    each = m.hidden_size * (2 if m.norm.kind == "layer" else 1)
    count = (layer.mixer != "none") + (layer.ffn != "none")
    if m.hyper:
        n = m.hyper.streams
        rows = (2 + n) * n
        return count * (each + rows * n * m.hidden_size + 3 + rows)
    return each * count * (2 if m.norm.per_layer == 4 else 1)


def parameters(m: Model) -> tuple[int, int]:
    """(total, active of one token), multi-token prediction left out."""
    h = m.hidden_size
    ends = m.vocab_size * h * (1 if m.tie_embeddings else 2) + m.learned_positions * h
    norm = h * (2 if m.norm.kind == "layer" else 1)
    total = active = ends + norm * (2 if m.embedding_norm else 1)
    if m.hyper:
        n = m.hyper.streams
        total, active = total + n * n * h + 1 + n, active + n * n * h + 1 + n
    for number, layer in enumerate(m.sequence()):
        own = mixer_matrices(m, layer.mixer) + mixer_vectors(m, layer.mixer) + _layer_norms(m, layer)
        held, used = ffn_matrices(m, layer.ffn)
        hashed = m.moe is not None and number < m.moe.hash_layers
        small, few = ffn_vectors(m, layer.ffn, hashed)
        total, active = total + own + held + small, active + own + used + few
    return total, active


def linear_flops(m: Model) -> int:
    """FLOPs of the weight products of one token, head included."""
    per_layer = sum(mixer_matrices(m, x.mixer) + ffn_matrices(m, x.ffn)[1] for x in m.sequence())
    return 2 * (per_layer + m.vocab_size * m.hidden_size)


def kv_bytes(m: Model, fp8: bool = False) -> float:
    """Growth of the caches per token, in bytes."""
    total = 0.0
    for layer in m.sequence():
        if layer.mixer == "gqa":
            total += 2 * m.gqa.kv_heads * m.gqa.head_dim * (1 if fp8 else 2)
        elif layer.mixer.startswith("mla"):
            p = m.mla
            total += p.kv_rank + 4 * p.kv_rank // 128 + 2 * p.rope_dim if fp8 else 2 * (p.kv_rank + p.rope_dim)
            total += m.indexer.dim + 4 if layer.mixer == "mla_dsa" else 0
        elif layer.mixer == "csa":
            total += (584 + 68) / 4
        elif layer.mixer == "hca":
            total += 584 / 128
    return total


def pair_flops(m: Model, mixer: str, absorbed: bool) -> int:
    """FLOPs of one (query, key) pair of the attention core."""
    if mixer in ("gqa", "gqa_window"):
        return 4 * m.gqa.heads * m.gqa.head_dim
    p = m.mla
    if absorbed:
        return 2 * p.heads * (2 * p.kv_rank + p.rope_dim)
    return 2 * p.heads * (p.nope_dim + p.rope_dim + p.v_dim)
