"""Which TPU tables are fitted together and with which efficiencies."""

from __future__ import annotations

from pathlib import Path

from simulator.validation.fit.tables import Outcome, Stage, calibrate, problem_of

STAGES = (
    Stage(
        ("gemm", "grouped_gemm"),
        ("tpu-v5e", "tpu-v6e", "tpu-v7x"),
        ("mxu", "hbm_stream", "unhidden", "staging", "kernel_start"),
    ),
    Stage(("attention",), ()),
    Stage(("memcpy", "sparse_gather"), ("tpu-v6e", "tpu-v7x"), ("hbm_copy", "sparse_gather")),
    Stage(("moe",), ()),
)


def outcomes(folder: Path, *, write: bool = False, folds: int = 5) -> list[Outcome]:
    """Fit every stage on the tables in ``folder``; ``write`` puts the figures back into the profiles."""
    results = []
    for stage in STAGES:
        problem, rows = problem_of(stage, folder, "google", "tpu", ())
        results.append(calibrate(problem, rows, write=write, folds=folds))
    return results
