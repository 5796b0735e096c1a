"""Fit of GPU attention: figures that kernels of a stack share are fitted once and written where they stand."""

from __future__ import annotations

from pathlib import Path

from simulator.validation.fit.gpu_attention import _first_places
from simulator.validation.fit.kernel_yaml import Fitted, rewrite_kernels

FILE = """sources:
  fit: "a fit"
shared:
  launch: {value: 5 us, kind: calibrated, source: fit, rows: 9}
kernels:
  - match: {phase: prefill}
    values:
      launch_floor: launch
      block_fixed: {value: 3 us, kind: calibrated, source: fit, rows: 4}
    architectures:
      blackwell:  # its own kernel
        values:
          block_fixed: {value: 2 us, kind: calibrated, source: fit, rows: 2}
  - match: {phase: decode}
    values:
      launch_floor: launch
      block_fixed: {value: 1 us, kind: calibrated, source: fit, rows: 3}
"""


def test_a_shared_figure_has_one_place_whichever_kernel_names_it(tmp_path: Path):
    path = tmp_path / "mla.yaml"
    path.write_text(FILE)
    places = list(_first_places(path).values())
    assert [p for p in places if p[2] == "launch_floor"] == [(0, "", "launch_floor")]
    assert len([p for p in places if p[2] == "block_fixed"]) == 3


def test_a_fitted_shared_figure_is_written_into_the_shared_map(tmp_path: Path):
    path = tmp_path / "mla.yaml"
    path.write_text(FILE)
    fitted = {(0, "", "launch_floor"): Fitted(7e-6, 12), (0, "blackwell", "block_fixed"): Fitted(4e-6, 5)}
    assert rewrite_kernels(path, fitted) == 2
    text = path.read_text()
    assert "  launch: {value: 7 us, kind: calibrated, source: fit, rows: 12}" in text
    assert "          block_fixed: {value: 4 us, kind: calibrated, source: fit, rows: 5}" in text
    assert text.count("launch_floor: launch") == 2
    assert "block_fixed: {value: 3 us" in text
    assert "block_fixed: {value: 1 us" in text
