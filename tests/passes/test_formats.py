"""Before and after of the formats pass, and what a device without a rate falls back to."""

from __future__ import annotations

import pytest

from simulator.models.formats import Formats, native, precision, supported, with_overrides
from simulator.passes.formats import formats
from simulator.passes.rewrite import consumers
from tests.models.bundled import model
from tests.passes.tiny import described, dtypes, names, node

H800 = ("fp32", "bf16", "fp8", "int8")


def test_before_and_after_of_an_expert_layer() -> None:
    """One Quantize per activation that is multiplied; gate, norms and the absorbed products stay in 16 bit."""
    before = described("deepseek-v3", layers=1)
    after = formats(before, native(model("deepseek-v3")))
    added = [n for n in names(after) if n not in names(before)]
    assert added == [
        "q_a_quantize",
        "q_b_quantize",
        "o_proj_quantize",
        "dispatch_quantize",
        "expert_down_quantize",
        "shared_down_quantize",
    ]
    assert dtypes(before, "q_a") == ("bfloat16", "bfloat16")
    assert dtypes(after, "q_a") == ("fp8_block", "fp8_block_weight")
    assert dtypes(after, "gate") == ("bfloat16", "bfloat16")
    assert dtypes(after, "q_absorb") == ("bfloat16", "bfloat16")
    assert dtypes(after, "dispatch")[0] == node(after, "dispatch").op.dtype == "fp8_block"
    assert dtypes(after, "combine")[0] == "bfloat16"
    assert node(after, "expert_up").op.rate == "fp8"


def test_one_quantize_feeds_all_products_of_an_activation() -> None:
    """Dispatch and shared expert read the same narrowed rows; q_a, kv_a and the index key share theirs."""
    after = formats(described("deepseek-v3.2", layers=1), native(model("deepseek-v3.2")))
    readers = consumers(after)
    assert {n.name for n in readers[node(after, "q_a_quantize").outputs[0]]} == {"q_a", "kv_a", "index_k"}
    assert {n.name for n in readers[node(after, "dispatch_quantize").outputs[0]]} == {"dispatch", "shared_up"}


def test_caches_take_their_storage_format() -> None:
    after = formats(described("deepseek-v3.2"), native(model("deepseek-v3.2")))
    stored = {v.name.rsplit(".", 1)[-1]: v.spec.dtype for v in after.values if v.role == "cache"}
    assert stored == {"kv_cache": "fp8_mla", "index_cache": "fp8_block"}
    plain = formats(described("llama-3.1-8b"), with_overrides(Formats(), {"kv_cache": "fp8"}))
    assert {v.spec.dtype for v in plain.values if v.role == "cache"} == {"fp8"}


def test_sixteen_bit_formats_change_nothing() -> None:
    before = described("llama-3.1-8b")
    after = formats(before, Formats())
    assert names(after) == names(before)
    assert after.weight_bytes() == before.weight_bytes()


def test_a_device_without_eight_bit_floats_gets_integers_or_sixteen_bit() -> None:
    released = native(model("deepseek-v3"))
    assert supported(released, H800) == released
    ascend = supported(released, ("bf16", "int8"), policy="int8")
    assert (ascend.experts, ascend.attention, ascend.dispatch) == ("int8", "int8", "int8_token")
    plain = supported(released, ("bf16", "int8"), policy="bf16")
    assert (plain.experts, plain.dispatch) == ("bfloat16", "bfloat16")


def test_four_bit_weights_keep_their_storage_on_older_devices() -> None:
    assert supported(native(model("gpt-oss-120b")), H800).experts in ("mxfp4_a8", "mxfp4_a16")
    assert supported(native(model("gpt-oss-120b")), ("bf16",)).experts == "mxfp4_a16"
    assert supported(precision(model("llama-3.1-70b"), "nvfp4"), H800).dense == "nvfp4_a16"


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"weights='fp9'; known: .*fp8_block"):
        precision(model("llama-3.1-70b"), "fp9")
    with pytest.raises(ValueError, match=r"unknown part of formats ffn; known: .*dense"):
        with_overrides(Formats(), {"ffn": "fp8"})
    with pytest.raises(ValueError, match="policy='fp4'; known: int8, bf16"):
        supported(Formats(), H800, policy="fp4")
    with pytest.raises(ValueError, match=r"formats.dense='fp9'"):
        formats(described("llama-3.1-8b"), Formats(dense="fp9"))
