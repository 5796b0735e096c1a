"""Fit of GPU attention: figures that kernels of a stack share are fitted once and written where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.profiles import load_kernels, search
from simulator.validation.fit.gpu_attention import Table, cases
from simulator.validation.fit.places import Key, calibrated_keys, figure_of, files_behind, path_of, slots, write

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
      step_latency: lib.mla.step
"""


LIBRARY = """sources:
  fit: "a fit"
mla:
  step: {value: 1 us, kind: calibrated, source: fit, rows: 5}
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[str]:
    """A user's own stack "mine" with a kernel library "lib"."""
    runtime, libraries = tmp_path / "workloads" / "runtimes" / "mine", tmp_path / "workloads" / "kernel_libraries"
    runtime.mkdir(parents=True)
    libraries.mkdir()
    (runtime / "mla.yaml").write_text(FILE)
    (runtime / "runtime.yaml").write_text("vendors: [nvidia]\n")
    (libraries / "lib.yaml").write_text(LIBRARY)
    search.use_folders([tmp_path])
    yield "mine/mla"
    search.use_folders([])


def test_a_shared_figure_has_one_place_whichever_kernel_names_it(file: str):
    found = slots(file)
    assert found[1, "", "launch_floor"] == found[0, "", "launch_floor"] == Key(file, 0, "", "launch_floor")
    assert len({key for (_, _, name), key in found.items() if name == "block_fixed"}) == 3
    assert calibrated_keys(file)[Key(file, 0, "", "launch_floor")] == pytest.approx(5e-6)


def test_a_value_of_a_library_is_the_librarys(file: str):
    (key,) = {key for (_, _, name), key in slots(file).items() if name == "step_latency"}
    assert (key.file, key.override, key.name) == ("kernel_libraries/lib", "mla", "step")
    assert figure_of(key).value == pytest.approx(1e-6)
    assert files_behind(load_kernels("mine", "mla")) == {file, "kernel_libraries/lib"}


def test_fitted_figures_are_written_where_they_stand(file: str):
    found = slots(file)
    new = {found[0, "", "launch_floor"]: 7e-6, found[0, "blackwell", "block_fixed"]: 4e-6}
    new[found[1, "", "step_latency"]] = 2e-6
    assert write(new, 12) == 3
    text, library = path_of(file).read_text(), (path_of(file).parents[2] / "kernel_libraries" / "lib.yaml").read_text()
    assert "  launch: {value: 7 us, kind: calibrated, source: fit, rows: 12}" in text
    assert "          block_fixed: {value: 4 us, kind: calibrated, source: fit, rows: 12}" in text
    assert text.count("launch_floor: launch") == 2
    assert "block_fixed: {value: 3 us" in text
    assert "block_fixed: {value: 1 us" in text
    assert "step: {value: 2 us, kind: calibrated, source: fit, rows: 12}" in library


def test_figures_of_another_family_are_not_fitted_on_attention_rows():
    """Products of the absorbed form run with cuBLAS's step; the rows of products say how long that is."""
    rows = {"device": "h100-sxm", "op": "mla_bmm_pre", "fw": "trtllm-1.3.0", "kernel": "", "dtype": "bfloat16"}
    rows |= {"kv_dtype": "", "gemm_dtype": "bfloat16", "batch": "8", "q_len": "1", "kv_len": "", "heads": "16"}
    table = Table("mla", pd.DataFrame([rows]), np.array([5.0]), np.array([True]))
    (case,) = cases([table], lambda t: t.keep)
    assert case.kernel.values["step_latency"] > 0
    assert set(case.keys) == {"launch_floor"}
    assert case.keys["launch_floor"].override == "mla"
