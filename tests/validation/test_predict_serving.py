"""Serving, energy and training tables: every kind of row is predicted, errors stay sane, measured columns are never read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulator.models.layout import Layout
from simulator.profiles import load_device, load_model
from simulator.validation.predict import energy, serving, training
from simulator.validation.predict.serving_formats import formats_for, label_of
from simulator.validation.predict.serving_rows import aggregated, generation, lengths, model_name, speculation
from simulator.validation.predict.table import predict_frame
from tests.shared_data import measurements

BLANK = dict.fromkeys(
    "num_devices weight_precision mode tp pp dp_attn moe_tp ep prefill_workers prefill_tp prefill_dp prefill_ep decode_workers "
    "decode_tp decode_dp decode_ep isl osl length_dist arrival concurrency max_batch batch_is_derived spec_decode "
    "framework_version".split(),
    "",
)


def row(**cells):
    base = BLANK | {
        "model": "meta-llama/Llama-3.1-8B", "device": "h100-sxm", "framework": "vllm", "mode": "agg", "num_devices": "1",
        "weight_precision": "bf16", "tp": "1", "isl": "512", "osl": "64", "arrival": "closed_loop", "concurrency": "8",
    }  # fmt: skip
    return base | {k: str(v) for k, v in cells.items()}


@pytest.mark.parametrize(
    "cells",
    [
        {},
        {"concurrency": 64, "framework": "sglang"},
        {"arrival": "all_at_t0 (rate=inf, 50 prompts)", "length_dist": "sharegpt"},
        {"arrival": "poisson rate 4/s"},
        {"mode": "static_batch", "arrival": "static_batch", "max_batch": 4, "framework_version": "2023"},
        {
            "mode": "disagg",
            "num_devices": 3,
            "prefill_workers": 2,
            "prefill_tp": 1,
            "decode_workers": 1,
            "decode_tp": 1,
        },
    ],
)
def test_kinds_of_rows(cells):
    found = serving.predict(pd.DataFrame([row(**cells)])).iloc[0]
    assert found["unsupported"] == ""
    assert 0 < found["predicted_ttft_ms"] < 1e5
    assert 3 < found["predicted_tpot_ms"] < 300
    assert found["predicted_output_tok_s_per_dev"] > 0


def test_phases_fill_only_their_own_columns():
    rows = [
        row(arrival="phase_decode_fixed_batch", max_batch=16, isl=1024),
        row(arrival="phase_prefill_saturated", isl=1024),
    ]
    decode, prefill = serving.predict(pd.DataFrame(rows)).to_dict("records")
    assert decode["predicted_tpot_ms"] > 0
    assert np.isnan(decode["predicted_input_tok_s_per_dev"])
    assert prefill["predicted_input_tok_s_per_dev"] > 1000
    assert np.isnan(prefill["predicted_output_tok_s_per_dev"])


def test_an_unknown_model_is_a_reason_and_no_number():
    found = serving.predict(pd.DataFrame([row(model="acme/unheard-of-9b")])).iloc[0]
    assert "no model profile" in found["unsupported"]
    assert np.isnan(found["predicted_tpot_ms"])


def test_names_of_published_models():
    known = frozenset(
        {"llama-3.1-8b", "qwen3-30b-a3b", "deepseek-r1", "nemotron-nano-9b-v2", "llama-4-scout", "qwen3.5-27b"}
    )
    for text, name in {
        "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
        "Qwen/Qwen3-30B-A3B-Thinking-2507-FP8": "qwen3-30b-a3b",
        "nvidia/DeepSeek-R1-NVFP4": "deepseek-r1",
        "nvidia/NVIDIA-Nemotron-Nano-9B-v2": "nemotron-nano-9b-v2",
        "meta-llama/Llama-4-Scout-17B-16E-Instruct": "llama-4-scout",
        "Qwen3.5-27B prefill": "qwen3.5-27b",
    }.items():
        assert model_name(text, known) == name


def test_speculation_and_generations():
    assert speculation("mtp1, 0.70 accepted per draft") == (1, 1.7)
    assert speculation("mtp3, 1.44 of 3 drafts accepted") == (3, 2.44)
    assert speculation("none_inferred") == (0, 1.0)
    assert generation("vllm", "0.11.1") == "vllm-2025"
    assert generation("vllm", "0.19.0") == "vllm"
    assert generation("vllm", "2023") == "vllm-2023"
    assert generation("sglang", "0.5.9") == "sglang"


def test_layouts_fill_what_rows_leave_open():
    assert aggregated(row(tp=8, num_devices=8, ep=8), True, 1).layout == Layout(tp=8, ep=8)
    wide = aggregated(row(tp=1, dp_attn=8, ep=8, num_devices=16), True, 1)
    assert (wide.replicas, wide.layout.dp, wide.layout.ep) == (2, 8, 8)
    assert aggregated(row(tp="", num_devices=16), True, 1).layout.tp == 8
    assert lengths(row(length_dist="uniform[0.8L,L] tokens, random")).spread == 0.2


def test_formats_follow_the_recipes():
    llama, deepseek, oss = (load_model(n) for n in ("llama-3.1-70b", "deepseek-r1", "gpt-oss-120b"))
    b200, h100, a100 = (load_device(n) for n in ("b200-sxm", "h100-sxm", "a100-sxm"))
    assert label_of("int8 W8A8C8", "x") == "int8"
    assert label_of("", "Qwen/Qwen3-8B-FP8") == "fp8"
    fp4 = formats_for(deepseek, "fp4", b200, "sglang")
    assert (fp4.attention, fp4.experts, fp4.kv_cache) == ("bfloat16", "nvfp4", "fp8")
    assert formats_for(llama, "fp4", b200, "vllm").attention == "nvfp4"
    assert formats_for(oss, "fp4", h100, "vllm").experts == "mxfp4_a16"
    assert formats_for(llama, "fp8", a100, "vllm").dense == "w8a16"


def test_power_and_training_rows():
    cells = {
        "model": "Qwen/Qwen3-8B", "device": "h100-sxm", "num_devices": "1", "framework": "vllm", "framework_version": "0.11.1",
        "weight_precision": "bfloat16", "tp": "1", "dp": "1", "ep": "1", "task": "gpqa", "isl": "", "osl_avg": "2000",
        "max_num_seqs": "64", "avg_batch": "60", "power_scope": "gpu_only (NVML)",
    }  # fmt: skip
    found = energy.predict(pd.DataFrame([cells])).iloc[0]
    assert 100 < found["predicted_power_w_per_dev"] <= 700
    product = found["predicted_j_per_out_tok"] * found["predicted_output_tok_s_per_dev"]
    assert product == pytest.approx(found["predicted_power_w_per_dev"])
    wall = energy.predict(pd.DataFrame([cells | {"power_scope": "whole system at AC wall"}])).iloc[0]
    assert "another scope" in wall["unsupported"]
    experts = cells | {"model": "Qwen/Qwen3-30B-A3B", "num_devices": "2", "avg_batch": "4"}
    group, alone = (
        energy.predict(pd.DataFrame([experts | sizes])).iloc[0]["predicted_output_tok_s_per_dev"]
        for sizes in ({"ep": "2"}, {"ep": "1"})
    )
    assert group < alone  # one engine over both devices, not two engines with half of the requests each
    job = {
        "model": "LLAMA3_70B", "task": "pretrain", "device": "h100-sxm", "n_devices": "64", "precision": "FP8", "gbs_seqs": "128",
        "mbs": "1", "seq_len": "8192", "tp": "4", "pp": "8", "cp": "1", "vp": "5", "ep": "", "fsdp": "", "dp": "",
    }  # fmt: skip
    step = training.predict(pd.DataFrame([job])).iloc[0]
    assert step["predicted_tokens_per_s_per_device"] == pytest.approx(128 * 8192 / step["predicted_step_time_s"] / 64)
    assert 800 < step["predicted_tokens_per_s_per_device"] < 3000


def test_a_sample_of_published_rows_is_predicted_sanely():
    table = pd.read_csv(measurements() / "serving.csv", dtype=str, keep_default_na=False)
    dense = table[
        (table["model_family"] == "Llama-3-70B") & (table["framework"] == "vllm") & (table["device"] == "b200-sxm")
    ]
    part = dense.iloc[::4].reset_index(drop=True)
    _, found = predict_frame(part)
    _, blind = predict_frame(part.assign(tpot_ms="", ttft_ms="", output_tok_s_per_dev="", e2e_ms=""))
    error = (found["predicted_tpot_ms"] / pd.to_numeric(part["tpot_ms"]) - 1).abs()
    assert found["unsupported"].eq("").all()
    assert error.median() < 0.15
    np.testing.assert_array_equal(found["predicted_tpot_ms"], blind["predicted_tpot_ms"])
