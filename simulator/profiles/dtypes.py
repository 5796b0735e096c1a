"""Number formats: storage bytes per element (scales included) and the arithmetic rate class they run at.

A *format* names how a tensor is stored (``fp8_block``); a *rate class* names the matrix-unit rate a product of two such
tensors runs at (``fp8``). Device profiles list peak rates by rate class.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """Storage format of a tensor.

    bits: payload bits per element. scale_bytes / scale_block: one scale of that many bytes per so many elements.
    rate: rate class of the matrix unit when both operands have this format.
    """

    name: str
    bits: float
    rate: str
    scale_bytes: float = 0.0
    scale_block: int = 1

    @property
    def bytes(self) -> float:
        """Average bytes per element, scales included."""
        return self.bits / 8 + self.scale_bytes / self.scale_block


# fp8_block: e4m3 with one fp32 scale per 1x128 activation tile (DeepSeek-V3 report 3.3.2); fp8_block_weight: one fp32
# scale per 128x128 block; fp8_mla: a cache row of 512 e4m3 + 4 fp32 scales + 64 bfloat16 = 656 B (FlashMLA);
# fp8_mla_v4: 448 e4m3 + 7 ue8m0 scales + 1 pad + 64 bfloat16 = 584 B; both compute in 16 bit; nvfp4: e2m1 with one
# e4m3 scale per 16; mxfp4 / mxfp8: one ue8m0 byte per 32 (OCP MX).
FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("fp64", 64, "fp64"),
        Format("fp32", 32, "fp32"),
        Format("tf32", 32, "tf32"),
        Format("bfloat16", 16, "bf16"),
        Format("fp16", 16, "bf16"),
        Format("fp8", 8, "fp8"),
        Format("fp8_block", 8, "fp8", 4, 128),
        Format("fp8_block_weight", 8, "fp8", 4, 128 * 128),
        Format("fp8_mla", 8, "bf16", 80, 576),
        Format("fp8_mla_v4", 8, "bf16", 72, 512),
        Format("mxfp8", 8, "fp8", 1, 32),
        Format("int8", 8, "int8"),
        Format("int8_token", 8, "int8", 4, 7168),
        Format("int4", 4, "int4", 2, 128),
        Format("nvfp4", 4, "fp4", 1, 16),
        Format("mxfp4", 4, "fp4", 1, 32),
        Format("int64", 64, "none"),
        Format("int32", 32, "none"),
        Format("bool", 8, "none"),
    )
}


def format_of(name: str) -> Format:
    """The format called ``name``; KeyError lists the known names."""
    try:
        return FORMATS[name]
    except KeyError:
        raise KeyError(f"unknown number format {name!r}; known: {', '.join(sorted(FORMATS))}") from None
