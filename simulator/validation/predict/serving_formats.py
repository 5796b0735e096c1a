"""Number formats of a published deployment: what the model cards and recipes behind a precision label quantise.

fp4 and int4 labels of mixture-of-experts checkpoints cover the experts (the attention projections stay in 16 bit, dense and shared
feed-forwards follow the experts in NVFP4 checkpoints); of dense models, every linear layer. fp8 labels follow the released
checkpoint where that is FP8, else per-tensor FP8 in every linear layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from simulator.devices.peaks import Device, peak_flops
from simulator.models.formats import SCHEMED, Formats, native, precision, supported
from simulator.profiles.model import Model

SIXTEEN_BIT = ("bf16", "bfloat16", "fp16", "float16")


def label_of(text: str, model_name: str) -> str:
    """Canonical precision label of a row: fp4, fp8, int4, int8, bf16, native."""
    name = text.lower()
    if "mxfp8-mxfp4" in name or "fp8-mxfp4" in name or "mxfp8/mxfp4" in name:
        return "native"
    for label, signs in (
        ("native", ("mxfp4",)),
        ("int4moe", ("w4a8",)),
        ("fp4", ("fp4",)),
        ("w4a16", ("w4a16", "int4", "awq")),
        ("int8", ("w8a8", "int8")),
        ("w8a16", ("w8a16", "fp8 weights")),
        ("fp8", ("fp8",)),
        ("bf16", SIXTEEN_BIT),
    ):
        if any(sign in name for sign in signs):
            return label
    return "fp8" if model_name.lower().endswith("-fp8") else "native" if "deepseek" in model_name.lower() else "bf16"


def formats_for(model: Model, label: str, device: Device, runtime: str) -> Formats:
    """Formats of ``model`` under a precision ``label`` on ``device``, widened where the device has no such rate."""
    chosen = _LABELS[label](model)
    chosen = replace(chosen, **_cache(chosen, label, device, runtime))
    rates = peak_flops(device).keys()
    if chosen.experts == "mxfp4" and device.vendor == "nvidia" and "fp4" not in rates:
        chosen = replace(
            chosen, experts="mxfp4_a16", dispatch="bfloat16"
        )  # Triton and Marlin kernels keep 16-bit activations
    if "fp8" not in rates and "int8" in rates and device.vendor == "nvidia" and label in ("fp8", "native"):
        chosen = replace(
            chosen,
            **{p: "w8a16" for p in SCHEMED if getattr(chosen, p) in ("fp8", "fp8_block") and p != "index_scores"},
        )
    return supported(chosen, rates)


def _quantised(model: Model) -> bool:
    return native(model).experts.startswith("fp8") or native(model).attention.startswith("fp8")


def _fp4(model: Model) -> Formats:
    if model.moe is None:
        return replace(precision(model, "nvfp4"), attention="nvfp4", dense="nvfp4")
    if native(model).experts == "mxfp4":
        return native(model)
    wide = replace(native(model), attention="bfloat16", index="bfloat16")
    return replace(wide, dense="nvfp4", shared="nvfp4", experts="nvfp4", dispatch="nvfp4")


def _fp8(model: Model) -> Formats:
    if _quantised(model) or native(model).experts == "mxfp4":
        return native(model)
    return precision(model, "fp8_block" if model.moe is not None else "fp8")


def _experts(model: Model, scheme: str) -> Formats:
    if model.moe is None:
        return precision(model, scheme)
    return replace(precision(model, "bfloat16"), experts=scheme)


def _bf16(model: Model) -> Formats:
    return precision(model, "bfloat16")


_LABELS: dict[str, Callable[[Model], Formats]] = {
    "fp4": _fp4,
    "fp8": _fp8,
    "bf16": _bf16,
    "native": native,
    "int8": lambda m: precision(m, "int8"),
    "w8a16": lambda m: precision(m, "w8a16"),
    "w4a16": lambda m: _experts(m, "w4a16"),
    "int4moe": lambda m: replace(precision(m, "int8"), experts="w4a16"),
}


def _cache(chosen: Formats, label: str, device: Device, runtime: str) -> dict[str, str]:
    """KV cache format: FP8 where recipes quantise and the attention kernels of the stack read it (SGLang: from Blackwell on)."""
    if label not in ("fp4", "fp8", "native") or "fp8" not in peak_flops(device) or device.vendor != "nvidia":
        return {}
    blackwell = device.architecture.startswith("blackwell")
    if chosen.kv_cache != "bfloat16" or (runtime.startswith("sglang") and not blackwell):
        return {}
    return {"kv_cache": "fp8", "core": "fp8"} if blackwell or runtime.startswith("trtllm") else {"kv_cache": "fp8"}
