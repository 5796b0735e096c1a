"""Published rows left out of fits because another row, or physics, contradicts them; predictions never look here."""

from __future__ import annotations

SUSPECT = frozenset(
    {
        # vllm fp8, m = 8192, n = 32: the same 55-65 us at any k, six times a sister stack
        *("gef6824e92", "geffacdc5e", "ge2d6bb04d", "gec9d1df02"),
        # vllm fp8 on Blackwell at m <= 4: slower than the same shape at m = 256
        *("geeb029549", "ge2a5fd713", "ge2a7c69d7"),
        # a GEMV kernel that cuBLAS picks for two shapes at m = 1 only
        *("gea651a3cb", "ge36696333", "ge7e864822"),
        # grouped masked, one group: m = 4096 as fast as m = 2048, above the practical FP8 peak
        "grbdcbe6d8",
        # uniform expert-parallel prefill: faster than reading the active experts at the HBM peak
        *("mof41dc412", "mod621d81e", "moaa18fa8e", "mo9aad3549", "mob2ff1b6c", "moaeae2125"),
        # single outliers against the sister device
        *("mo0b37d4cd", "mo7d96aaf9", "mod78e8272"),
    }
)
