"""Fits of the GPU core models with rows held out: matrix work, attention, vector passes."""

from __future__ import annotations

from pathlib import Path

from simulator.validation.calibrate_result import FitResult, FittedFigure, Held, gathered, scored, with_kin
from simulator.validation.calibrate_trial import fit_trial, figures_of_keys
from simulator.validation.fit import gpu_attention, gpu_elementwise, gpu_matmul
from simulator.validation.fit.group_fit import rows_per_key
from simulator.validation.fit.kernel_fit import STARTS, Sample, search
from simulator.validation.predict import elementwise


def fit_matrix(folder: Path, held: Held, rounds: int = 10) -> FitResult:
    """Dense and grouped products and expert layers, jointly."""
    data = [gpu_matmul.read(folder, f) for f in gpu_matmul.FAMILIES if (folder / "kernels" / f"{f}.csv").is_file()]
    masks = [held(rows.table) for rows in data]
    batch, free = gpu_matmul.collect(data, [~m for m in masks])
    counts = gpu_matmul.rows_behind(batch)
    fitted = search(batch, free, rounds=rounds, sweeps=1, starts=STARTS[:1]) if free else {}
    fitted = {k: v for k, v in fitted.items() if k in counts}
    unseen, every = gpu_matmul.collect(data, masks)
    names = {f.key: f.name for f in (*free, *every)}
    values = with_kin(fitted, names, names.__getitem__, lambda key: key)
    seen = {_entry(sample) for sample in batch}
    parts = []
    for rows, mask in zip(data, masks, strict=True):
        for sample in rows.samples(mask)[0]:
            known = _entry(sample) in seen
            at = sample.rows.index
            before, after = sample.predict({}), sample.predict(values)
            parts.append(scored(rows.table.iloc[at], rows.family, sample.seconds, before, after, known))
    figures = [
        FittedFigure(f.figure.file, f"line {f.figure.line} {f.name}", f.figure.unit, f.figure.value, fitted[f.key], counts[f.key])
        for f in free
        if f.key in fitted
    ]  # fmt: skip
    return FitResult(gathered(parts), tuple(figures))


def _entry(sample: Sample) -> tuple[str, int]:
    """Kernel file and entry that serve a sample."""
    table, facts = sample.rows.table, sample.rows.facts
    return table.file, next(i for i, entry in enumerate(table.entries) if entry.serves(facts))


def fit_attention(folder: Path, held: Held, evaluations: int = 10) -> FitResult:
    """Grouped-query, latent and sparse attention, jointly."""
    present = [f for f in gpu_attention.FAMILIES if (folder / "kernels" / f"{f}.csv").is_file()]
    tables = gpu_attention.read(folder, present)
    train = gpu_attention.cases(tables, lambda t: t.keep & ~held(t.rows))
    problem = gpu_attention.fit(train, evaluations)
    counts = rows_per_key(train)
    fitted = {k: v for k, v in problem.values().items() if k in counts}
    seen = {(k.file, k.entry) for k in fitted}
    parts = []
    for table in tables:
        rows = table.rows[held(table.rows)].reset_index(drop=True)
        for case in gpu_attention.cases([table], lambda t: held(t.rows)):
            keys = (*case.keys.values(), *case.efficiencies.values())
            values = with_kin(fitted, keys, lambda k: k.name, lambda k: (k.file, k.entry))
            known = {(k.file, k.entry) for k in case.keys.values()} <= seen
            inside = rows.iloc[case.group.index]
            parts.append(scored(inside, table.family, case.seconds, case.predict({}), case.predict(values), known))
    return FitResult(gathered(parts), figures_of_keys(problem.start, fitted, counts))


def fit_vector(folder: Path, held: Held, evaluations: int = 10) -> FitResult:
    """Vector passes."""
    rows = gpu_elementwise.read(folder)
    mask = held(rows)
    return fit_trial(
        "elementwise",
        rows,
        mask,
        gpu_elementwise.observed,
        lambda table: elementwise.prepared(table).groupby(elementwise.KEYS, sort=False, dropna=False),
        gpu_elementwise.start_values(rows),
        evaluations,
    )
