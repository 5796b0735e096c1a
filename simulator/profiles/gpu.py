"""NVIDIA GPU profile: datasheet figures of a chip and the efficiencies of its architecture generation."""

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
class GpuCore:
    """Streaming multiprocessors.

    tensor_clock: clock behind the datasheet tensor peak. max_clock: highest boost clock. tensor_flop_per_clk and
    vector_flop_per_clk: per SM by rate class / dtype. exp_per_clk: base-2 exponentials per SM (MUFU). tensor_cut: tensor
    rate of an SM over that of the generation's full part, below 1 where the maker disabled tensor units.
    """

    sms: Count
    tensor_clock: Hertz
    max_clock: Hertz
    tensor_flop_per_clk: Mapping[str, FlopPerClock]
    vector_flop_per_clk: Mapping[str, FlopPerClock]
    exp_per_clk: OpPerClock
    smem_bytes_per_clk: BytesPerClock
    smem_capacity: Bytes
    tensor_cut: Ratio = 1.0


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """HBM (or GDDR) and L2. bandwidth: datasheet. latency in SM clocks."""

    capacity: Bytes
    bandwidth: BytesPerSecond
    l2_capacity: Bytes
    dram_latency: Clocks
    l2_latency: Clocks


@dataclass(frozen=True, slots=True)
class GpuLink:
    """Scale-up port: bandwidth of one GPU, one direction (0 B/s = none)."""

    bandwidth: BytesPerSecond


@dataclass(frozen=True, slots=True)
class GpuEfficiencies:
    """Mechanisms that a datasheet does not state; one set per architecture generation, shared by all operators.

    At most 20 fields (a test counts them). Every field names a mechanism; none belongs to a shape or a stack.

    Matrix kernels use the first ten; graph_node is what one kernel of a captured graph takes around its work: the gap to
    its predecessor, the prologue, and draining.

    Attention kernels use: attention_tensor, tensor rate realised inside a fused attention pipeline;
    exposed_exponential, share of the exponentials it cannot hide; kv_stream, share of memory bandwidth long cache reads
    realise; l2_read, L2 bytes per clock and SM; attention_overlap, exponent p of (blocks^p + memory^p)^(1/p);
    block_stream, bytes per clock one thread block can stream; split_combine, fixed time of merging split-KV partial
    results; eight_bit_attention, gain of 8-bit products over that of the generation a stack's kernel was measured on.

    Vector passes and gathers use: vector_stream, share of memory bandwidth they realise; vector_l2, L2 bytes per clock
    and SM.
    """

    hbm_stream: Ratio
    tensor_16bit: Ratio
    tensor_8bit: Ratio
    tensor_4bit: Ratio
    operand_feed: BytesPerClock
    epilogue: BytesPerClock
    wave_start: Seconds
    overlap_exponent: Ratio
    l2_survival: Ratio
    graph_node: Seconds
    attention_tensor: Ratio
    exposed_exponential: Ratio
    kv_stream: Ratio
    l2_read: BytesPerClock
    attention_overlap: Ratio
    block_stream: BytesPerClock
    split_combine: Seconds
    vector_stream: Ratio
    vector_l2: BytesPerClock
    eight_bit_attention: Ratio = 1.0


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. architecture: ampere, ada, hopper, blackwell, blackwell_ultra, blackwell_rtx ..."""

    name: str
    vendor: str
    architecture: str
    unit: str
    core: GpuCore
    memory: GpuMemory
    link: GpuLink
    power: Power
    efficiencies: GpuEfficiencies
    default_system: str
