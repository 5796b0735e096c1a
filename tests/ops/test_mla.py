"""N1: absorbed (MQA) latent attention equals the expanded (MHA) form; FLOPs and bytes of DeepSeek-V3."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from simulator.ops.attention import Attention
from simulator.ops.batched_linear import BatchedLinear
from simulator.ops.linear import Linear
from simulator.ops.mla import MlaAbsorbedAttention
from simulator.ops.quantize import round_to
from simulator.ops.tensor import TensorSpec

B, Q, L, H, DN, DR, DV, C = 2, 3, 9, 4, 16, 8, 12, 32


def tensors(dtype: type) -> dict[str, np.ndarray]:
    g = np.random.default_rng(7)
    shapes = {"nope": (B, Q, H, DN), "rope": (B, Q, H, DR), "latent": (B, L, C), "k_rope": (B, L, DR)}
    out = {name: g.normal(size=s) for name, s in shapes.items()}
    out["w_k"] = g.normal(size=(H, DN, C)) / np.sqrt(C)
    out["w_v"] = g.normal(size=(H, DV, C)) / np.sqrt(C)
    if dtype is ml_dtypes.bfloat16:
        return {n: round_to(a, dtype) for n, a in out.items()}
    return {n: a.astype(dtype) for n, a in out.items()}


def expanded(t: dict[str, np.ndarray], rounded: bool = False) -> np.ndarray:
    keep = (lambda a: round_to(a, ml_dtypes.bfloat16)) if rounded else (lambda a: a)
    (k,) = Linear().reference(t["latent"], t["w_k"].reshape(H * DN, C))
    (v,) = Linear().reference(t["latent"], t["w_v"].reshape(H * DV, C))
    k = np.concatenate([keep(k).reshape(B, L, H, DN), np.repeat(t["k_rope"][:, :, None], H, axis=2)], axis=-1)
    q = np.concatenate([t["nope"], t["rope"]], axis=-1)
    return Attention(scale=(DN + DR) ** -0.5).reference(q, k, keep(v).reshape(B, L, H, DV))[0]


def absorbed(t: dict[str, np.ndarray], rounded: bool = False) -> np.ndarray:
    keep = (lambda a: round_to(a, ml_dtypes.bfloat16)) if rounded else (lambda a: a)
    (q_latent,) = BatchedLinear().reference(t["nope"], t["w_k"].transpose(0, 2, 1))
    q = np.concatenate([keep(q_latent), t["rope"]], axis=-1)
    cache = np.concatenate([t["latent"], t["k_rope"]], axis=-1)
    (o,) = MlaAbsorbedAttention(C, scale=(DN + DR) ** -0.5).reference(q, cache)
    return BatchedLinear().reference(keep(o), t["w_v"])[0]


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-12), (np.float32, 1e-5), (ml_dtypes.bfloat16, 1e-2)])
def test_n1_absorbed_equals_expanded(dtype: type, bound: float) -> None:
    t = tensors(dtype)
    rounded = dtype is ml_dtypes.bfloat16
    a, b = absorbed(t, rounded), expanded(t, rounded)
    assert np.linalg.norm(a - b) / np.linalg.norm(b) < bound


def test_a_wrong_scale_breaks_the_identity() -> None:
    t = tensors(np.float64)
    cache = np.concatenate([t["latent"], t["k_rope"]], axis=-1)
    (q_latent,) = BatchedLinear().reference(t["nope"], t["w_k"].transpose(0, 2, 1))
    q = np.concatenate([q_latent, t["rope"]], axis=-1)
    (o,) = MlaAbsorbedAttention(C, scale=(C + DR) ** -0.5).reference(q, cache)
    assert np.linalg.norm(BatchedLinear().reference(o, t["w_v"])[0] - expanded(t)) > 1e-2


def test_deepseek_v3_decode_flops_and_bytes_per_key() -> None:
    q, op = TensorSpec((1, 1, 128, 576)), MlaAbsorbedAttention(512)

    def difference(part: str, dtype: str) -> float:
        of = [getattr(op.work((q, TensorSpec((1, n, 576), dtype)), ()), part)() for n in (1000, 1001)]
        return of[1] - of[0]

    (term,) = op.work((q, TensorSpec((1, 1000, 576))), ()).terms
    assert term.kv_shared
    assert term.kv_heads == 1
    assert difference("flops", "bfloat16") == 278_528
    assert difference("bytes_read", "bfloat16") == 1152
    assert difference("bytes_read", "fp8_mla") == pytest.approx(656, abs=1e-6)


def test_deepseek_v3_prefill_flops_per_pair() -> None:
    s = 4096
    q, v = TensorSpec((1, s, 128, 192)), TensorSpec((1, s, 128, 128))
    assert Attention().work((q, q, v), ()).flops() == 81_920 * s * (s + 1) / 2
