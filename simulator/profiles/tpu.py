"""Google TPU profile: public figures of one chip and the efficiencies of its generation.

Every figure is per chip. ``core.core_devices`` says how many devices JAX shows for one chip (2 on v3 and v7x, whose two
core-devices share no program and own half of the HBM each); ``one_core`` of simulator.devices.tpu cuts the profile
down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.profiles.fields import (
    Bytes,
    BytesPerSecond,
    Count,
    FlopPerSecond,
    Hertz,
    OpPerClock,
    Ratio,
    Seconds,
)
from simulator.profiles.power import Power


@dataclass(frozen=True, slots=True)
class TpuCore:
    """Systolic arrays (MXU) and vector units (VPU).

    core_devices: devices JAX shows per chip. tensorcores: TensorCores per chip. mxu_dim: side S of one systolic array.
    peak: chip peak by rate class, FLOP/s. clock: vector clock (the MXU rate follows from peak, not from it).
    vector_op_per_clk: fp32 operations per clock of the chip's VPUs.
    """

    core_devices: Count
    tensorcores: Count
    mxu_dim: Count
    clock: Hertz
    peak: Mapping[str, FlopPerSecond]
    vector_op_per_clk: OpPerClock


@dataclass(frozen=True, slots=True)
class TpuMemory:
    """HBM and the compiler-managed VMEM; there is no cache. Capacities and rates of the whole chip."""

    capacity: Bytes
    bandwidth: BytesPerSecond
    vmem_capacity: Bytes
    vmem_bandwidth: BytesPerSecond


@dataclass(frozen=True, slots=True)
class TpuSparseCore:
    """SparseCores per chip (0 = none): gathers, scatters and offloaded collectives."""

    count: Count


@dataclass(frozen=True, slots=True)
class TpuLink:
    """Inter-chip interconnect (ICI).

    bandwidth: all links of a chip, one direction. per_link: one link, one direction, as reached in practice. links: per
    chip. hop: latency of one hop. die_to_die: rate between the two core-devices of a chip (0 = one die).
    """

    bandwidth: BytesPerSecond
    per_link: BytesPerSecond
    links: Count
    hop: Seconds
    die_to_die: BytesPerSecond


@dataclass(frozen=True, slots=True)
class TpuEfficiencies:
    """Mechanisms a public figure does not state; one set per generation, shared by all operators and stacks.

    mxu: sustained share of the array peak (clock under power). hbm_stream: share of HBM bandwidth while the compute
    pipeline streams operands. hbm_copy: the same when reads and writes of one pass alternate. unhidden: share of the
    shorter of compute and transfer that fill and drain leave uncovered. staging: bytes that must be moved before
    compute can start and cannot be double-buffered (of the order of the scoped VMEM). kernel_start: device-side start
    of a fused computation. score_ops / row_ops: VPU operations per attention score and per (query, head) row of a flash
    kernel. vector: share of the VPU rate reached by fused elementwise code. row_start: start of a DMA that gathers one
    row. sparse_gather: share of HBM bandwidth of a SparseCore indirect gather. sparse_start: start of a SparseCore
    program.
    """

    mxu: Ratio
    hbm_stream: Ratio
    hbm_copy: Ratio
    unhidden: Ratio
    staging: Bytes
    kernel_start: Seconds
    vector: Ratio
    score_ops: Ratio
    row_ops: Ratio
    sparse_gather: Ratio
    sparse_start: Seconds


@dataclass(frozen=True, slots=True)
class Tpu:
    """One TPU chip. architecture: v3 ... v7x, v8t, v8i."""

    name: str
    vendor: str
    architecture: str
    unit: str
    core: TpuCore
    memory: TpuMemory
    sparsecore: TpuSparseCore
    link: TpuLink
    power: Power
    efficiencies: TpuEfficiencies
    default_system: str
