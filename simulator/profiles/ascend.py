"""Huawei Ascend profile: design figures of one device (a 910 die or a 950 card) and its efficiencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simulator.profiles.fields import (
    Bytes,
    BytesPerClock,
    BytesPerSecond,
    Clocks,
    Count,
    FlopPerClock,
    Hertz,
    OpPerClock,
    Ratio,
    Seconds,
)
from simulator.profiles.power import Power


@dataclass(frozen=True, slots=True)
class AscendCore:
    """DaVinci cube cores (AIC) and vector cores (AIV).

    cube_flop_per_clk: per cube core by rate class (16x16x16 fp16 products = 8192). vector_op_per_clk: fp32 lanes of one
    vector core. l0a, l0b, l0c, l1: buffers of a cube core; ub: unified buffer of a vector core. l1_to_l0a, l1_to_l0b:
    operand feed. direct_cube_vector: 1 if L0C reaches the vector cores' UB without a trip through global memory.
    """

    aic: Count
    aiv: Count
    clock: Hertz
    cube_flop_per_clk: Mapping[str, FlopPerClock]
    vector_op_per_clk: OpPerClock
    l0a: Bytes
    l0b: Bytes
    l0c: Bytes
    l1: Bytes
    ub: Bytes
    l1_to_l0a: BytesPerClock
    l1_to_l0b: BytesPerClock
    direct_cube_vector: Count


@dataclass(frozen=True, slots=True)
class AscendMemory:
    """HBM and L2.

    bandwidth: HBM figure of the device. l2_read, l2_write: L2 port of one cube core.
    """

    capacity: Bytes
    bandwidth: BytesPerSecond
    l2_capacity: Bytes
    l2_read: BytesPerClock
    l2_write: BytesPerClock


@dataclass(frozen=True, slots=True)
class AscendLink:
    """Ports of one device, one direction.

    bandwidth: scale-up port in total (HCCS mesh, UB plane). per_link: one link of it. links: how many. die_to_die: SIO
    to the other die of a package (0 = none). scale_out: RoCE port.
    """

    bandwidth: BytesPerSecond
    per_link: BytesPerSecond
    links: Count
    die_to_die: BytesPerSecond
    scale_out: BytesPerSecond


@dataclass(frozen=True, slots=True)
class AscendEfficiencies:
    """Mechanisms a design figure does not state; one set per generation, shared by all operators and stacks.

    cube: sustained share of the cube rate. hbm: share of the HBM bandwidth while the cores stream operands. l2_panel:
    share of the L2 port rate for panels of a row-major matrix. l2_stream: the same for long contiguous runs. unhidden:
    share of the shorter of core time and HBM time that fill, drain and core start spread leave uncovered. cube_start,
    mixed_start, vector_start: launch and core start spread of cube-only, cube+vector and vector-only kernels.
    misaligned: slow-down of panel reads per halving of the row alignment below 512 B. eight_bit_stream: share of the
    HBM rate for row-major 8-bit weights (layout conversion on the fly). attention_start: start of an attention kernel
    (tiling, metadata, both core kinds). task_start: hand-over between cube and vector cores per attention task.
    score_ops, rescale_ops: vector instructions per score, per output element and key block. workspace: share of the
    cube-vector workspace trip that is visible. serial_stages: share of the shorter stages left uncovered inside a task.
    gather_row: issue time of one gathered row on one core. vector_l2: L2 bytes per clock and
    direction of one vector core. hbm_vector: share of the HBM bandwidth of vector passes. l2_resident: footprint, over
    L2 capacity, at which half of what is written stays in L2.
    """

    cube: Ratio
    hbm: Ratio
    l2_panel: Ratio
    l2_stream: Ratio
    unhidden: Ratio
    cube_start: Seconds
    mixed_start: Seconds
    vector_start: Seconds
    misaligned: Ratio
    eight_bit_stream: Ratio
    attention_start: Seconds
    task_start: Seconds
    score_ops: Ratio
    rescale_ops: Ratio
    workspace: Ratio
    serial_stages: Ratio
    gather_row: Clocks
    vector_l2: BytesPerClock
    hbm_vector: Ratio
    l2_resident: Ratio


@dataclass(frozen=True, slots=True)
class Ascend:
    """One Ascend device. architecture: davinci_910a, davinci_c220 (910B, 910C), davinci_c310 (950)."""

    name: str
    vendor: str
    architecture: str
    unit: str
    core: AscendCore
    memory: AscendMemory
    link: AscendLink
    power: Power
    efficiencies: AscendEfficiencies
    default_system: str
