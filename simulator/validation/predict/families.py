"""Which measurement family a table belongs to, decided by its columns; rows of a mixed table go by their operator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from simulator.profiles.errors import fail


@dataclass(frozen=True, slots=True)
class Family:
    """A table schema: its module in this package and the columns that identify it (the most specific match wins).

    ops: names of the operators that such a table holds, "*" matching any text.
    """

    name: str
    columns: frozenset[str]
    outputs: tuple[str, ...] = ("predicted_us",)
    ops: tuple[str, ...] = ()

    def holds(self, op: str) -> bool:
        """Whether ``op`` is an operator of this family."""
        return any(fnmatchcase(op, pattern) for pattern in self.ops)


ANY = "*"
"""Pattern of the family that takes every operator no other family of a mixed table lists."""


def _family(name: str, columns: str, outputs: tuple[str, ...] = ("predicted_us",), ops: str = "") -> Family:
    return Family(name, frozenset(columns.split()), outputs, tuple(ops.split()))


def _kernel(name: str, columns: str, ops: str) -> Family:
    return _family(name, columns, ops=ops)


SERVING = (
    "predicted_ttft_ms",
    "predicted_tpot_ms",
    "predicted_output_tok_s_per_dev",
    "predicted_input_tok_s_per_dev",
)
ENERGY = ("predicted_power_w_per_dev", "predicted_j_per_out_tok", "predicted_output_tok_s_per_dev")
TRAINING = ("predicted_step_time_s", "predicted_tokens_per_s_per_device")

FAMILIES: tuple[Family, ...] = (
    _kernel("gemm", "device op dtype m n k", "gemm"),
    _kernel("grouped_gemm", "device op dtype groups m_per_group n k", "grouped_gemm*"),
    _kernel("attention", "device op dtype batch q_len kv_len heads kv_heads head_dim window", "attention_*"),
    _kernel("mla", "device op dtype gemm_dtype batch q_len kv_len heads", "mla_*"),
    _kernel("dsa", "device op dtype batch q_len past_len heads topk compress", "dsa_* dsv4_*"),
    _kernel("moe", "device op dtype tokens hidden inter topk experts tp ep dist", "moe_fused moe_ep* moe_megakernel"),
    _kernel(
        "moe_layer", "device op dtype tokens hidden inter topk experts tp ep shared_inter dispatcher", "moe_layer*"
    ),
    _kernel("collectives", "device op dtype bytes gpus nodes", "all* reduce_scatter send_recv broadcast"),
    _kernel("deepep", "device op dtype tokens hidden topk experts ep nodes sms", "deepep_* nvl_a2a_*"),
    _kernel("elementwise", "device op dtype rows cols extra", "*"),
    _kernel(
        "sparse_gather",
        "device op dtype src_rows rows cols topk extra",
        "moe_*routing moe_gather_reduce kv_cache_scatter gather_* scatter_*",
    ),
    _kernel("memcpy", "device op dtype bytes", "hbm_copy"),
    _kernel("link", "device op scope transport direction block_bytes total_bytes", "p2p"),
    _family("serving", "device model isl osl num_devices concurrency arrival", SERVING),
    _family("energy", "device model num_devices task max_num_seqs", ENERGY),
    _family("training", "device model n_devices gbs_seqs seq_len", TRAINING),
)


def families_of_rows(columns: Iterable[str], ops: Sequence[str], file: str) -> list[Family]:
    """The family of each row. A table that carries the columns of several is mixed: the operator of a row decides among
    them, and a row whose operator none of them lists belongs to the family of the whole table."""
    present = frozenset(columns)
    whole = family_of(present, file)
    fitting = [f for f in FAMILIES if f.columns <= present]
    single = all(f.columns <= whole.columns for f in fitting)
    known: dict[str, Family] = {}
    for op in dict.fromkeys(ops):
        listed = [f for f in fitting if f.holds(op) and not (f.holds(ANY) and (single or whole.holds(op)))]
        exact = [f for f in listed if not f.holds(ANY)]
        known[op] = _most_specific(exact or listed or [whole])
    return [known[op] for op in ops]


def _most_specific(families: Iterable[Family]) -> Family:
    return max(families, key=lambda f: len(f.columns))


def family_of(columns: Iterable[str], file: str) -> Family:
    """The family whose identifying columns are all present; the one with most columns wins. ProfileError if none."""
    present = frozenset(columns)
    fitting = [f for f in FAMILIES if f.columns <= present]
    if fitting:
        return _most_specific(fitting)
    nearest = max(FAMILIES, key=lambda f: len(f.columns & present) - 0.01 * len(f.columns))
    missing = ", ".join(sorted(nearest.columns - present))
    raise fail(
        file, 1, "columns", f"no measurement family has these columns; nearest is {nearest.name}, missing {missing}"
    )
