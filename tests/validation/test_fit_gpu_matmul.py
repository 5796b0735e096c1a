"""The fit recovers values it is shown, keeps what is not calibrated, and writes only the numbers it changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from simulator.profiles import Figure
from simulator.validation.fit.figure_file import write_figures
from simulator.validation.fit.kernel_fit import errors, fit, samples
from simulator.validation.predict import gemm


def _table() -> pd.DataFrame:
    shapes = [(m, n, k) for m in (1, 64, 4096) for n in (512, 8192) for k in (512, 7168)]
    return pd.DataFrame(shapes, columns=["m", "n", "k"]).assign(
        device="h100-sxm", fw="trtllm-1", kernel="torch_flow", dtype="bfloat16", mode="graph", note=""
    )


def test_a_fit_recovers_the_values_that_made_the_data() -> None:
    groups, _ = gemm.groups(_table())
    blank = np.full(len(_table()), 1.0)
    everything = np.ones(len(blank), dtype=bool)
    batch, free = samples(groups, blank, everything)
    truth = {f.key: f.figure.value * (1.6 if f.name == "graph_node" else 1.0) for f in free}
    seconds = np.zeros_like(blank)
    for group, sample in zip(groups, batch, strict=True):
        seconds[group.index] = sample.predict(truth)
    batch, free = samples(groups, seconds, everything)
    found = fit(batch, [f for f in free if not f.hardware or f.name == "graph_node"])
    node = next(f.key for f in free if f.name == "graph_node")
    assert abs(found[node] / truth[node] - 1) < 0.02
    assert max(e.max() for e in errors(batch, truth | found)) < 0.02


def test_rows_left_out_do_not_reach_the_fit() -> None:
    groups, _ = gemm.groups(_table())
    keep = np.zeros(len(_table()), dtype=bool)
    keep[:3] = True
    batch, _ = samples(groups, np.full(len(keep), 1e-5), keep)
    assert sum(len(s.seconds) for s in batch) == 3


def test_only_the_number_and_its_row_count_change(tmp_path: Path) -> None:
    file = tmp_path / "kernel.yaml"
    text = 'a: 1\n  floor: {value: 2.5 us, kind: calibrated, source: fit, rows: 3, note: "keep 2.5"}\nb: 2\n'
    file.write_text(text)
    figure = Figure(2.5e-6, "2.5 us", "s", "calibrated", "fit", "", "", 3, str(file), 2)
    assert write_figures({(str(file), 2): (figure, 3.1234e-6, 40)}) == [file]
    assert file.read_text() == text.replace("value: 2.5 us", "value: 3.123 us").replace("rows: 3", "rows: 40")
