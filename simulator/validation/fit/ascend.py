"""Which Ascend tables are fitted together, with which efficiencies, and which rows are left out."""

from __future__ import annotations

from pathlib import Path

from simulator.validation.fit.tables import Outcome, Stage, calibrate, problem_of

C220, C310 = "ascend-910b2", "ascend-950pr"

STAGES = (
    Stage(
        ("gemm", "grouped_gemm"),
        (C220, C310),
        ("cube", "hbm", "l2_panel", "unhidden", "cube_start", "mixed_start", "misaligned", "eight_bit_stream"),
    ),
    Stage(
        ("attention", "mla"),
        (C220, C310),
        ("l2_stream", "attention_start", "task_start", "score_ops", "rescale_ops", "workspace", "serial_stages"),
        match="attention|mla_decode|mla_absorbed",
    ),
    Stage(("mla",), (), match="mla_prolog"),
    Stage(("dsa",), ("ascend-910c",), ("gather_row",)),
    Stage(("elementwise",), (C220, C310), ("vector_start", "vector_l2", "hbm_vector", "l2_resident")),
    Stage(("sparse_gather",), ()),
)

# Rows that contradict physics or their sister rows; they stay in every error table, only the fit leaves them out.
SUSPECT = (
    "elaf494fcd",  # one time for one input on two devices
    "ela4c33e19",
    "ela1869a3e",  # ten times its sister rows
    "el17286243",  # below the traffic of the listed kernels
    "ml35677594",  # a second pass over the weights that sister rows do not show
    "ge5215027c",  # more time than a larger product of the same kernel
)


def outcomes(folder: Path, *, write: bool = False, folds: int = 5) -> list[Outcome]:
    """Fit every stage on the tables in ``folder``; ``write`` puts the figures back into the profiles."""
    results = []
    for stage in STAGES:
        problem, rows = problem_of(stage, folder, "huawei", "ascend", SUSPECT)
        results.append(calibrate(problem, rows, write=write, folds=folds))
    return results
