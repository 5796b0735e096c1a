"""GPU attention, indexer and selection kernels: physical bounds, monotonicity, edge sizes, every profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.devices.gpu.attention import attention_cost
from simulator.devices.gpu.attention_tiles import key_tile_counts
from simulator.devices.gpu.indexer import index_scores_cost
from simulator.devices.gpu.top_k import top_k_cost
from simulator.ops.work import Attention, IndexScores, TopK
from simulator.profiles import list_names, load_device
from simulator.profiles.gpu import Gpu
from simulator.profiles.kernels import Kernel, load_kernels

RUNTIMES = ("trtllm", "sglang", "vllm", "flashinfer")
GPUS = sorted(n for n in list_names("device") if isinstance(load_device(n), Gpu))


def kernel(gpu: Gpu, phase: str, family: str = "attention", runtime: str = "vllm") -> Kernel:
    table = load_kernels(runtime, family, vendor="nvidia")
    facts = {"dtype": "bfloat16", "kv_dtype": "bfloat16", "generation": gpu.architecture, "mode": "graph"}
    return table.select(gpu.architecture, phase=phase, **facts)


def decode(batch: int, kv: int, heads: int = 32, groups: int = 8, window: int = 0) -> Attention:
    return Attention(batch, 1, kv, heads, groups, 128, 128, window=window)


def prefill(batch: int, q: int, past: int = 0, heads: int = 32, groups: int = 8) -> Attention:
    return Attention(batch, q, past + q, heads, groups, 128, 128)


def latent(batch: int, kv: int, heads: int) -> Attention:
    return Attention(batch, 1, kv, heads, 1, 576, 512, kv_shared=True)


def roofline(term: Attention, gpu: Gpu) -> float:
    peak = gpu.core.tensor_flop_per_clk["bf16"] * gpu.core.sms * gpu.core.tensor_clock
    moved = float(np.asarray(term.bytes_read())) + float(np.asarray(term.bytes_written()))
    return max(float(np.asarray(term.flops())) / peak, moved / gpu.memory.bandwidth)


sizes = st.sampled_from([1, 2, 7, 64, 300])
contexts = st.sampled_from([1, 2, 17, 128, 1000, 4096, 40000])


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("runtime", RUNTIMES)
@settings(max_examples=15, deadline=None)
@given(batch=sizes, kv=contexts)
def test_cold_kernels_never_beat_the_roofline(name: str, runtime: str, batch: int, kv: int) -> None:
    gpu = load_device(name)
    for phase, term in (("decode", decode(batch, kv)), ("prefill", prefill(min(batch, 8), min(kv, 8192)))):
        seconds = float(np.asarray(attention_cost(term, gpu, kernel(gpu, phase, runtime=runtime)).seconds))
        assert np.isfinite(seconds)
        assert seconds >= roofline(term, gpu)


@pytest.mark.parametrize("name", ["h100-sxm", "b200-sxm", "a100-sxm", "h20"])
@settings(max_examples=20, deadline=None)
@given(batch=sizes, kv=contexts, heads=st.sampled_from([8, 16, 64, 128]))
def test_latent_decode_never_beats_the_roofline(name: str, batch: int, kv: int, heads: int) -> None:
    gpu = load_device(name)
    term = latent(batch, kv, heads)
    assert float(np.asarray(attention_cost(term, gpu, kernel(gpu, "decode", "mla")).seconds)) >= roofline(term, gpu)


@pytest.mark.parametrize("field", ["bandwidth", "sms", "tensor"])
@settings(max_examples=25, deadline=None)
@given(batch=sizes, kv=contexts, warm=st.booleans())
def test_more_hardware_is_never_slower(field: str, batch: int, kv: int, warm: bool) -> None:
    gpu = load_device("h100-sxm")
    if field == "bandwidth":
        better = replace(gpu, memory=replace(gpu.memory, bandwidth=gpu.memory.bandwidth * 1.3))
    elif field == "sms":
        better = replace(gpu, core=replace(gpu.core, sms=gpu.core.sms + 13))
    else:
        faster = {k: v * 1.5 for k, v in gpu.core.tensor_flop_per_clk.items()}
        better = replace(gpu, core=replace(gpu.core, tensor_flop_per_clk=faster))
    for phase, term in (("decode", decode(batch, kv)), ("prefill", prefill(min(batch, 8), min(kv, 4096)))):
        chosen = kernel(gpu, phase)
        before = float(np.asarray(attention_cost(term, gpu, chosen, warm).seconds))
        after = float(np.asarray(attention_cost(term, better, chosen, warm).seconds))
        assert after <= before * (1 + 1e-9)


@pytest.mark.parametrize("name", ["a100-sxm", "h100-sxm", "gb200"])
@pytest.mark.parametrize("warm", [False, True])
def test_longer_context_is_never_faster(name: str, warm: bool) -> None:
    gpu = load_device(name)
    kv = np.unique(np.geomspace(1, 2e5, 400).astype(np.int64))
    for term in (Attention(4, 1, kv, 32, 8, 128, 128), Attention(3, 1, kv, 128, 1, 576, 512, kv_shared=True)):
        family = "mla" if term.kv_shared else "attention"
        seconds = np.asarray(attention_cost(term, gpu, kernel(gpu, "decode", family), warm).seconds)
        assert np.all(np.diff(seconds) >= -1e-12)


def test_one_call_on_arrays_equals_one_call_a_row() -> None:
    gpu = load_device("b200-sxm")
    batch, kv = np.array([1, 3, 64, 500]), np.array([5, 4096, 777, 2])
    for phase, q in (("decode", np.ones(4, dtype=np.int64)), ("prefill", kv)):
        chosen = kernel(gpu, phase)
        many = np.asarray(attention_cost(Attention(batch, q, kv, 32, 8, 128, 128), gpu, chosen).seconds)
        for i in range(4):
            one = Attention(int(batch[i]), int(q[i]), int(kv[i]), 32, 8, 128, 128)
            assert float(np.asarray(attention_cost(one, gpu, chosen).seconds)) == pytest.approx(
                float(many[i]), rel=1e-12
            )


@pytest.mark.parametrize("zero", ["batch", "q_len", "kv_len", "heads"])
def test_empty_work_costs_the_launch_and_no_nan(zero: str) -> None:
    gpu = load_device("h100-sxm")
    dims = {"batch": 2, "q_len": 1, "kv_len": 64, "heads": 8, zero: 0}
    for phase in ("decode", "prefill"):
        term = Attention(kv_heads=1, qk_dim=128, v_dim=128, **dims)
        seconds = float(np.asarray(attention_cost(term, gpu, kernel(gpu, phase)).seconds))
        assert np.isfinite(seconds)
        assert seconds < 100e-6


def test_tile_counts_follow_the_causal_mask() -> None:
    blocks, mean, most = key_tile_counts(prefill(1, 1024), 128, 1, 128)
    assert float(blocks) == 8
    assert float(mean) == pytest.approx(4.5)
    assert float(most) == 8


@given(kv=st.integers(1, 9000), window=st.integers(1, 5000))
@settings(max_examples=40, deadline=None)
def test_a_window_costs_the_tiles_it_touches_and_never_more_than_the_whole_cache(kv: int, window: int) -> None:
    gpu = load_device("h100-sxm")
    chosen = kernel(gpu, "decode")
    whole, cut, inside = (
        float(np.asarray(attention_cost(decode(512, length, window=w), gpu, chosen).seconds))
        for length, w in ((kv, 0), (kv, window), (min(kv, window), 0))
    )
    assert inside <= cut * (1 + 1e-12)
    assert cut <= whole * (1 + 1e-12)


def test_passes_that_cast_to_eight_bits_launch_and_move_bytes() -> None:
    gpu = load_device("h100-sxm")
    plain = kernel(gpu, "decode")
    plain = replace(plain, values={**plain.values, "cast_launch": 2e-6})

    def seconds(casts: int, batch: int) -> float:
        chosen = replace(plain, traits={**plain.traits, "casts": casts})
        return float(np.asarray(attention_cost(decode(batch, 1024), gpu, chosen).seconds))

    assert seconds(1, 1) - seconds(0, 1) == pytest.approx(2e-6, rel=0.01)
    assert seconds(3, 1) - seconds(0, 1) == pytest.approx(6e-6, rel=0.01)
    queries = 1024 * 32 * 128 * 3 / (gpu.efficiencies.kv_stream * gpu.memory.bandwidth)
    assert seconds(1, 1024) - seconds(0, 1024) - 2e-6 == pytest.approx(queries, rel=1e-6)


def test_tile_counts_follow_the_window() -> None:
    term = Attention(1, 1024, 1024, 8, 8, 128, 128, window=128)
    _, mean, most = key_tile_counts(term, 128, 1, 128)
    assert float(most) == 2
    assert float(mean) == pytest.approx((1 + 7 * 2) / 8)


def test_split_helps_one_long_request_but_not_many() -> None:
    gpu = load_device("h100-sxm")
    chosen = kernel(gpu, "decode")
    whole = replace(chosen, traits={**chosen.traits, "max_splits": 1})

    def gain(batch: int) -> float:
        term = decode(batch, 131072)
        return float(attention_cost(term, gpu, whole).seconds) / float(attention_cost(term, gpu, chosen).seconds)

    assert gain(1) > 3
    assert gain(256) == pytest.approx(1, abs=0.05)


def test_a_warm_cache_is_faster_only_if_it_fits() -> None:
    gpu = load_device("h100-sxm")
    chosen = kernel(gpu, "decode")
    small, large = decode(64, 64), decode(256, 65536)
    assert float(attention_cost(small, gpu, chosen, True).seconds) < float(attention_cost(small, gpu, chosen).seconds)
    assert float(attention_cost(large, gpu, chosen, True).seconds) == float(attention_cost(large, gpu, chosen).seconds)


def test_an_unknown_schedule_is_named() -> None:
    gpu = load_device("h100-sxm")
    chosen = kernel(gpu, "decode")
    with pytest.raises(ValueError, match="spiral"):
        attention_cost(decode(1, 64), gpu, replace(chosen, traits={"schedule": "spiral"}))


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("runtime", ["trtllm", "sglang", "vllm"])
@pytest.mark.parametrize("paged", [True, False])
def test_indexer_and_selection_stay_above_their_rooflines(name: str, runtime: str, paged: bool) -> None:
    gpu = load_device(name)
    kv = np.array([1, 64, 4096, 100000])
    term = IndexScores(np.array([1, 64, 8, 2]), np.array([1, 1, 64, 16]), kv, 64, 128, paged=paged)
    chosen = kernel(gpu, "logits_paged" if paged else "logits", "indexer", runtime)
    rates = gpu.core.tensor_flop_per_clk
    peak = rates.get("fp8", rates["bf16"]) * gpu.core.sms * gpu.core.tensor_clock
    seconds = np.asarray(index_scores_cost(term, gpu, chosen).seconds)
    assert np.all(seconds >= np.asarray(term.flops()) / peak)
    assert np.all(seconds >= (np.asarray(term.bytes_read()) + np.asarray(term.bytes_written())) / gpu.memory.bandwidth)
    pick = TopK(np.array([0, 1, 64, 4096]), kv, 2048)
    picked = np.asarray(top_k_cost(pick, gpu, kernel(gpu, "top_k", "indexer", runtime)).seconds)
    assert np.all(np.isfinite(picked))
    assert np.all(picked >= np.asarray(pick.bytes_written()) / gpu.memory.bandwidth)


@pytest.mark.parametrize("name", GPUS)
@pytest.mark.parametrize("runtime", ["trtllm", "sglang", "vllm"])
def test_every_gpu_and_stack_serves_sparse_attention(name: str, runtime: str) -> None:
    gpu = load_device(name)
    for phase in ("sparse_prefill", "sparse_decode", "compressed"):
        term = Attention(
            np.array([1, 512]),
            1,
            2048,
            128,
            1,
            576,
            512,
            causal=False,
            kv_shared=True,
            kv_bytes_per_token=656.0,
            selected=True,
        )
        seconds = np.asarray(attention_cost(term, gpu, kernel(gpu, phase, "dsa", runtime)).seconds)
        assert np.all(np.isfinite(seconds))
        assert np.all(seconds > 0)


def test_only_kernels_that_cast_the_cache_pay_for_it() -> None:
    gpu, term = load_device("h100-sxm"), latent(64, 4096, 16)
    assert isinstance(gpu, Gpu)
    table = load_kernels("sglang", "mla", vendor="nvidia")
    casting = table.select("hopper", phase="decode", kv_dtype="fp8")
    plain = replace(casting, traits=dict(casting.traits) | {"casts_cache": False})
    assert casting.traits["casts_cache"]
    assert not table.select("blackwell", phase="decode", kv_dtype="fp8").traits["casts_cache"]
    assert attention_cost(term, gpu, plain).seconds < 0.8 * attention_cost(term, gpu, casting).seconds


def gathered(keys: float, heads: float, bytes_per_token: float = 1152.0) -> Attention:
    return Attention(
        1024,
        1,
        keys,
        heads,
        1,
        576,
        512,
        causal=False,
        kv_shared=True,
        kv_bytes_per_token=bytes_per_token,
        selected=True,
    )


def gathering(**traits: float) -> Kernel:
    table = load_kernels("sglang", "dsa", vendor="nvidia")
    chosen = table.select("hopper", phase="sparse_prefill", generation="hopper", kv_dtype="bfloat16")
    values = {**chosen.values, "gather_stream": 5.0, "block_fixed": 0.0, "launch_floor": 0.0}
    return replace(chosen, values=values, traits={**chosen.traits, **traits})


def test_gathering_bounds_a_sparse_kernel_and_blocks_of_a_cluster_share_it() -> None:
    gpu, term = load_device("h100-sxm"), gathered(2048, 128)
    assert isinstance(gpu, Gpu)
    alone = float(np.asarray(attention_cost(term, gpu, gathering(), warm=True).seconds))
    shared = float(np.asarray(attention_cost(term, gpu, gathering(cluster=2), warm=True).seconds))
    blocks = 1024 * 2 / gpu.core.sms
    assert alone >= blocks * 2048 * 1152 / 5.0 / gpu.core.max_clock
    assert shared == pytest.approx(alone / 2, rel=0.05)
    fewer = float(np.asarray(attention_cost(gathered(2048, 128, 656.0), gpu, gathering(), warm=True).seconds))
    assert fewer == pytest.approx(alone * 656 / 1152, rel=0.05)


def test_padded_heads_cost_what_the_padding_does() -> None:
    gpu = load_device("b200-sxm")
    assert isinstance(gpu, Gpu)

    def seconds(heads: float, **traits: float) -> float:
        return float(np.asarray(attention_cost(gathered(2048, heads), gpu, gathering(**traits)).seconds))

    assert seconds(32, pad_heads=128) == seconds(128)
    assert seconds(16, pad_heads=128, pad_above=16) == seconds(16) < seconds(128)
