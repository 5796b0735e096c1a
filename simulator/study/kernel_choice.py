"""Which kernel of a runtime serves a term of the operator graph, and how firm its stack values are."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from simulator.devices.peaks import Device
from simulator.ops.tensor import Dim
from simulator.ops.work import Attention, Elementwise, Gather, GroupedMatmul, IndexScores, Matmul, Term, TopK
from simulator.profiles.dtypes import format_of
from simulator.profiles.kernels import Kernel, KernelTable, NoKernelError, load_kernels

MEASURED_WITH = {"indexer": "dsa"}  # kernel family -> the measurement family whose rows hold its times
DECODE_QUERIES = 8  # new tokens per request up to which attention counts as decode (verification of a few drafts)


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel and the measurement family whose error band applies. fidelity: calibrated, derived or estimated."""

    kernel: Kernel
    family: str
    fidelity: str

    @property
    def label(self) -> str:
        """Stack and family, as reports name the kernel."""
        return f"{self.kernel.runtime}/{self.kernel.family}"


def choose(term: Term, device: Device, runtime: str, known: dict[Hashable, Choice]) -> Choice:
    """The kernel of ``runtime`` that serves ``term`` on ``device``; a generic one where nobody described any.

    known: choices made before, filled on the way (one device and runtime only).
    """
    candidates = _candidates(term)
    key = tuple((family, *sorted(facts.items())) for family, facts in candidates)
    if key not in known:
        known[key] = _choose(candidates, device, runtime)
    return known[key]


def _choose(candidates: list[tuple[str, dict[str, str | int]]], device: Device, runtime: str) -> Choice:
    for family, facts in candidates:
        try:
            table = load_kernels(runtime, family, device.vendor)
            kernel = _serving(
                table, device.architecture, facts | {"fw": table.runtime, "generation": device.architecture}
            )
        except NoKernelError:
            continue
        return Choice(kernel, MEASURED_WITH.get(family, family), "derived" if kernel.substituted_for else "calibrated")
    family = candidates[0][0]
    return Choice(Kernel("generic", family, {}, {}), family, "estimated")


def _serving(table: KernelTable, architecture: str, facts: dict[str, str | int]) -> Kernel:
    """The kernel that serves exactly these facts, else the first that contradicts none of them."""
    try:
        return table.select(architecture, **facts)
    except NoKernelError:
        return table.prefer(architecture, **facts)


def _candidates(term: Term) -> list[tuple[str, dict[str, str | int]]]:
    """Families and facts to try, best first."""
    if isinstance(term, Matmul):
        return [("gemm", {"dtype": _measured_name(term.a_dtype), "op": "gemm"})]
    if isinstance(term, GroupedMatmul):
        facts: dict[str, str | int] = {"dtype": _measured_name(term.a_dtype), "op": "grouped_gemm"}
        return [("grouped_gemm", facts), ("gemm", facts | {"op": "gemm"})]
    if isinstance(term, Attention):
        return _attention(term)
    if isinstance(term, IndexScores):
        phase = "logits_paged" if _decodes(term.q_len) else "logits"
        return _indexer({"phase": phase, "op": "dsa_indexer_logits"})
    if isinstance(term, TopK):
        return _indexer({"phase": "top_k", "op": "dsa_topk"})
    if isinstance(term, Elementwise):
        return [("elementwise", {"name": term.name}), ("elementwise", {})]
    if isinstance(term, Gather):
        return [
            ("gather", {"name": term.name}),
            ("sparse_gather", {"name": term.name}),
            ("elementwise", {"name": term.name}),
        ]
    raise TypeError(f"{type(term).__name__} runs on the fabric, not on a device")


def _indexer(facts: dict[str, str | int]) -> list[tuple[str, dict[str, str | int]]]:
    """Stacks without indexer kernels of their own list them among those of sparse attention."""
    return [("indexer", facts), ("dsa", facts)]


def _decodes(q_len: Dim) -> bool:
    return float(np.max(np.asarray(q_len))) <= DECODE_QUERIES


def _attention(term: Attention) -> list[tuple[str, dict[str, str | int]]]:
    phase = "decode" if _decodes(term.q_len) else "prefill"
    kv = "fp8" if format_of(term.kv_dtype).bits <= 8 or "fp8" in term.kv_dtype else term.kv_dtype
    facts: dict[str, str | int] = {"phase": phase, "dtype": term.q_dtype, "kv_dtype": kv}
    if term.selected:
        pooled = np.array_equal(np.asarray(term.qk_dim), np.asarray(term.v_dim))  # V4: one vector is key and value
        stage = "compressed" if pooled else f"sparse_{phase}"
        return [("dsa", facts | {"phase": stage, "op": "dsa_attn"}), ("mla", facts)]
    if term.kv_shared:
        return [("mla", facts | {"op": f"mla_{phase}"})]
    gqa = ("attention", facts | {"op": f"attention_{phase}_gqa"})
    expanded = not np.array_equal(np.asarray(term.qk_dim), np.asarray(term.v_dim))
    return [("mla", facts | {"op": "mla_prefill"}), gqa] if expanded else [gqa]


def _measured_name(dtype: str) -> str:
    """Format names of the graph as kernel tables spell them."""
    return {"fp8_block_weight": "fp8_block", "int8_token": "int8"}.get(dtype, dtype)
