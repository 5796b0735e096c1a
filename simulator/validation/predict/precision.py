"""What a ``dtype`` of a measurement row means: formats of activations and weights, and the rate class they run at."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.profiles.dtypes import FORMATS


@dataclass(frozen=True, slots=True)
class Precision:
    """activation, weight: names of number formats. rate: rate class of the matrix unit."""

    activation: str
    weight: str
    rate: str


# weight-only formats are widened in registers and run at the 16-bit rate; FP8 x FP4 products run at the FP8 rate
PRECISIONS: dict[str, Precision] = {
    "fp8_block": Precision("fp8_block", "fp8_block_weight", "fp8"),
    "int4_wo": Precision("bfloat16", "int4", "bf16"),
    "int8_wo": Precision("bfloat16", "int8", "bf16"),
    "w8a16": Precision("bfloat16", "int8", "bf16"),
    "sq": Precision("int8", "int8", "int8"),
    "w8a8": Precision("int8", "int8", "int8"),
    "w4afp8": Precision("fp8", "int4", "fp8"),
    "w4a16_mxfp4": Precision("bfloat16", "mxfp4", "bf16"),
    "w4a8_mxfp4_mxfp8": Precision("mxfp8", "mxfp4", "fp8"),
}


def precision_of(dtype: str) -> Precision | None:
    """Formats behind a row's ``dtype``; None if the name is not known."""
    if dtype in PRECISIONS:
        return PRECISIONS[dtype]
    if dtype in FORMATS and FORMATS[dtype].rate != "none":
        return Precision(dtype, dtype, FORMATS[dtype].rate)
    return None
