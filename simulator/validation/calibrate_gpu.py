"""Fits of the GPU core models with rows held out: matrix work, attention, vector passes."""

from __future__ import annotations

from pathlib import Path

from simulator.validation.calibrate_result import FitResult, Slot, Split, fitted_figure, gathered, scored, with_unknown
from simulator.validation.calibrate_trial import figures_of_keys, fit_trial
from simulator.validation.fit import gpu_attention, gpu_elementwise, gpu_matmul
from simulator.validation.fit.group_fit import Case, Fit, Prior, rows_per_key
from simulator.validation.fit.kernel_fit import STARTS, Free, Sample, search
from simulator.validation.fit.places import Key
from simulator.validation.predict import elementwise


def fit_matrix(folder: Path, split: Split, rounds: int = 8) -> FitResult:
    """Dense and grouped products and expert layers, jointly. Only figures that held rows depend on are fitted."""
    data = [gpu_matmul.read(folder, f) for f in gpu_matmul.FAMILIES if (folder / "kernels" / f"{f}.csv").is_file()]
    masks = [split.held(rows.table) for rows in data]
    test = [rows.samples(mask) for rows, mask in zip(data, masks, strict=True)]
    wanted = {f.key: _slot(f) for _, figures in test for f in figures}
    batch, free = gpu_matmul.collect(data, [~m for m in masks])
    others = {f.key: _slot(f) for f in free}
    seen = {_entry(s) for s in batch}
    batch, free = [s for s in batch if s.depends_on() & set(wanted)], [f for f in free if f.key in wanted]
    counts = gpu_matmul.rows_behind(batch)
    fitted = search(batch, free, rounds=rounds, sweeps=1, starts=STARTS[:1]) if free else {}
    values = with_unknown(fitted, wanted, others, lambda key: key, split.unknown)
    parts = []
    for rows, (samples, _) in zip(data, test, strict=True):
        for sample in samples:
            before, after = sample.predict({}), sample.predict(values)
            held_rows = rows.table.iloc[sample.rows.index]
            # a value may serve several kernels: what counts is whether this one was seen
            places = dict.fromkeys(sample.values.values(), _entry(sample))
            known = split.knows(places, fitted, seen, places.__getitem__)
            parts.append(scored(held_rows, rows.family, sample.seconds, before, after, known))
    return FitResult(
        gathered(parts), tuple(fitted_figure(f.figure, f.name, fitted[f.key], counts[f.key]) for f in free)
    )


def _slot(free: Free) -> Slot:
    architecture = Path(free.figure.file).stem.replace("-", "_") if free.hardware else ""
    return Slot(free.name, free.figure.value, architecture)


def _entry(sample: Sample) -> tuple[str, int]:
    """Kernel file and entry that serve a sample."""
    table, facts = sample.rows.table, sample.rows.facts
    return table.file, next(i for i, entry in enumerate(table.entries) if entry.serves(facts))


def fit_attention(folder: Path, split: Split, evaluations: int = 8) -> FitResult:
    """Grouped-query, latent and sparse attention, jointly. Only figures that held rows depend on are fitted."""
    present = [f for f in gpu_attention.FAMILIES if (folder / "kernels" / f"{f}.csv").is_file()]
    tables = gpu_attention.read(folder, present)
    test = {table.family: gpu_attention.cases([table], lambda t: split.held(t.rows)) for table in tables}
    wanted = {k: slot for cases in test.values() for case in cases for k, slot in _slots(case).items()}
    train = gpu_attention.cases(tables, lambda t: t.keep & ~split.held(t.rows))
    others = {k: slot for case in train for k, slot in _slots(case).items()}
    seen = {place for case in train for place in case.places}
    train = [case for case in train if wanted.keys() & _slots(case).keys()]
    counts = {k: n for k, n in rows_per_key(train).items() if k in wanted}
    problem = _attention_problem(train, set(counts))
    if counts:
        problem.run(evaluations)
    fitted = problem.values()
    values = with_unknown(fitted, wanted, others, _place, split.unknown)
    parts = []
    for table in tables:
        rows = table.rows[split.held(table.rows)].reset_index(drop=True)
        for case in test[table.family]:
            # a value may serve several kernels: what counts is whether this one was seen
            known = split.knows(case.keys.values(), fitted, seen, _place) if split.sisters else case.places <= seen
            inside = rows.iloc[case.group.index]
            parts.append(scored(inside, table.family, case.seconds, case.predict({}), case.predict(values), known))
    return FitResult(gathered(parts), figures_of_keys(problem.start, fitted, counts))


def _place(key: Key) -> tuple[str, int]:
    return key.file, key.entry


def _slots(case: Case) -> dict[Key, Slot]:
    own = {k: Slot(n, case.kernel.values[n]) for n, k in case.keys.items()}
    shared = {k: Slot(n, getattr(case.gpu.efficiencies, n), k.file) for n, k in case.efficiencies.items()}
    return own | shared


def _attention_problem(train: list[Case], wanted: set[Key]) -> Fit:
    """The fit of ``wanted`` on ``train``; everything else keeps its present value."""
    priors: dict[Key, Prior] = {}
    start: dict[Key, float] = {}
    for case in train:
        for key, slot in _slots(case).items():
            if key in wanted:
                known = gpu_attention.EFFICIENCIES if slot.architecture else gpu_attention.VALUES
                priors[key], start[key] = known[slot.name], slot.present
    return Fit(train, priors, start)


def fit_vector(folder: Path, split: Split, evaluations: int = 8) -> FitResult:
    """Vector passes. Only figures that held rows depend on are fitted."""
    rows = gpu_elementwise.read(folder)
    return fit_trial(
        "elementwise",
        rows,
        split,
        gpu_elementwise.observed,
        lambda table: elementwise.prepared(table).groupby(elementwise.KEYS, sort=False, dropna=False),
        gpu_elementwise.start_values(rows),
        evaluations,
    )
