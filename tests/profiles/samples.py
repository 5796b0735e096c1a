"""A small device and a small scenario that the tests load and break."""

from __future__ import annotations

DEVICE = """\
extends: architectures/hopper
sources:
  sheet: "a datasheet"
name: testchip
default_system: hgx-h100
core:
  sms: {value: 100, kind: vendor, source: sheet}
  tensor_clock: {value: 1.5 GHz, kind: vendor, source: sheet}
  max_clock: {value: 1.6 GHz, kind: vendor, source: sheet}
memory:
  capacity: {value: 64 GB, kind: vendor, source: sheet}
  bandwidth: {value: 2 TB/s, kind: vendor, source: sheet}
  l2_capacity: {value: 40 MiB, kind: estimated, source: sheet, note: a guess}
link:
  bandwidth: {value: 300 GB/s, kind: vendor, source: sheet}
power:
  tdp: {value: 500 W, kind: vendor, source: sheet}
  idle: {value: 60 W, kind: vendor, source: sheet}
"""

SCENARIO = """\
description: a test
model: llama-3.1-8b
system: hgx-h100
runtime: vllm
tensor_parallel_size: 2
phases:
  prefill: {batch: 1, isl: 1000}
  decode: {max_num_seqs: 8, osl: 200}
slo: {ttft: 500 ms, tpot: 50 ms}
"""
