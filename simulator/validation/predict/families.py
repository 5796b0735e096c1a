"""Which measurement family a table belongs to, decided by its columns alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from simulator.profiles.errors import fail


@dataclass(frozen=True, slots=True)
class Family:
    """A table schema: its module in this package and the columns that identify it (the most specific match wins)."""

    name: str
    columns: frozenset[str]
    outputs: tuple[str, ...] = ("predicted_us",)


def _family(name: str, columns: str, outputs: tuple[str, ...] = ("predicted_us",)) -> Family:
    return Family(name, frozenset(columns.split()), outputs)


SERVING = (
    "predicted_ttft_ms",
    "predicted_tpot_ms",
    "predicted_output_tok_s_per_dev",
    "predicted_input_tok_s_per_dev",
)
ENERGY = ("predicted_power_w_per_dev", "predicted_j_per_out_tok", "predicted_output_tok_s_per_dev")
TRAINING = ("predicted_step_time_s", "predicted_tokens_per_s_per_device")

FAMILIES: tuple[Family, ...] = (
    _family("gemm", "device op dtype m n k"),
    _family("grouped_gemm", "device op dtype groups m_per_group n k"),
    _family("attention", "device op dtype batch q_len kv_len heads kv_heads head_dim window"),
    _family("mla", "device op dtype gemm_dtype batch q_len kv_len heads"),
    _family("dsa", "device op dtype batch q_len past_len heads topk compress"),
    _family("moe", "device op dtype tokens hidden inter topk experts tp ep dist"),
    _family("moe_layer", "device op dtype tokens hidden inter topk experts tp ep shared_inter dispatcher"),
    _family("collectives", "device op dtype bytes gpus nodes"),
    _family("deepep", "device op dtype tokens hidden topk experts ep nodes sms"),
    _family("elementwise", "device op dtype rows cols extra"),
    _family("sparse_gather", "device op dtype src_rows rows cols topk extra"),
    _family("memcpy", "device op dtype bytes"),
    _family("link", "device op scope transport direction block_bytes total_bytes"),
    _family("serving", "device model isl osl num_devices concurrency arrival", SERVING),
    _family("energy", "device model num_devices task max_num_seqs", ENERGY),
    _family("training", "device model n_devices gbs_seqs seq_len", TRAINING),
)


def family_of(columns: Iterable[str], file: str) -> Family:
    """The family whose identifying columns are all present; the one with most columns wins. ProfileError if none."""
    present = frozenset(columns)
    fitting = [f for f in FAMILIES if f.columns <= present]
    if fitting:
        return max(fitting, key=lambda f: len(f.columns))
    nearest = max(FAMILIES, key=lambda f: len(f.columns & present) - 0.01 * len(f.columns))
    missing = ", ".join(sorted(nearest.columns - present))
    raise fail(
        file, 1, "columns", f"no measurement family has these columns; nearest is {nearest.name}, missing {missing}"
    )
