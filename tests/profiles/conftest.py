"""A user's own profile folder with one small device in the bundled layout, and helpers to break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.profiles import search

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


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder on the search path with one device (testchip) and one scenario (small)."""
    (tmp_path / "hardware_profiles" / "gpu").mkdir(parents=True)
    (tmp_path / "workloads" / "scenarios").mkdir(parents=True)
    (tmp_path / "hardware_profiles" / "gpu" / "testchip.yaml").write_text(DEVICE)
    (tmp_path / "workloads" / "scenarios" / "small.yaml").write_text(SCENARIO)
    monkeypatch.setenv(search.ENVIRONMENT, str(tmp_path))
    return tmp_path


@pytest.fixture
def device_file(own: Path) -> Path:
    """The device's file."""
    return own / "hardware_profiles" / "gpu" / "testchip.yaml"


@pytest.fixture
def scenario_file(own: Path) -> Path:
    """The scenario's file."""
    return own / "workloads" / "scenarios" / "small.yaml"
