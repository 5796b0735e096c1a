"""Replay speed in one process: operators per second by simpy and by the batched evaluator, and DeepSeek-V3.2 steps/s.

Run: python benchmarks/replay_speed.py [--scenarios 10000] [--micro-batches 2]
Only ratios of one run mean anything on a shared machine. "whole" evaluates every node of every layer; "folded"
evaluates equal segments once, which is what sweeps use. Both are checked against simpy before they are timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from simulator.replay.batched import makespans
from simulator.replay.build import program_of
from simulator.replay.program import Program, Times
from simulator.replay.simpy_engine import replay_simpy
from simulator.replay.structure import structure_of, uncut_structure_of
from simulator.replay.summary import summarise

REPEATS = 3


def deepseek_step(micro_batches: int = 2) -> tuple[Program, Times]:
    """A DeepSeek-V3.2 decode step on 128 ranks with two overlapping micro-batches, and arbitrary times per template."""
    from simulator.models.build import build
    from simulator.models.layout import Layout
    from simulator.models.options import Options
    from simulator.models.step import StepShape
    from simulator.profiles import load_model

    options = Options(overlap="two_batch" if micro_batches > 1 else "none")
    graph = build(
        load_model("deepseek-v3.2"), StepShape("decode", 128, 1, 4096), Layout(dp=128, ep=128), options=options
    )
    rng = np.random.default_rng(0)
    return program_of(graph, {t: rng.uniform(1e-6, 2e-4) if work.terms else 0.0 for t, work in graph.work().items()})


def cost_and_replay(scenarios: int) -> tuple[float, float]:
    """Steps per second of building, costing and replaying a sweep of batch and context; seconds of a single step."""
    from simulator.study.deployment import deploy
    from simulator.study.step import run_step, shape_of

    deployment = deploy("deepseek-v3.2-chat")
    phase = deployment.scenario.phases.decode
    rng = np.random.default_rng(2)
    sweep_shape = shape_of(deployment, phase, rng.integers(8, 256, scenarios), rng.integers(1024, 16384, scenarios))
    one = best_of(lambda: run_step(deployment, phase))
    return scenarios / best_of(lambda: run_step(deployment, phase, sweep_shape)), one


def best_of(run: Callable[[], object]) -> float:
    """Seconds of the fastest of a few runs."""
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def sweep(program: Program, scenarios: int) -> Times:
    """Times that differ by scenario."""
    return np.random.default_rng(1).integers(10**6, 2 * 10**8, (program.row_count, scenarios))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--micro-batches", type=int, default=2)
    arguments = parser.parse_args()
    began = time.perf_counter()
    program, durations = deepseek_step(arguments.micro_batches)
    print(f"DeepSeek-V3.2 decode step: {len(program)} operators, {program.row_count} templates")
    print(f"graph and program built in {1e3 * (time.perf_counter() - began):.0f} ms")
    folded, whole = structure_of(program), uncut_structure_of(program)
    reference = replay_simpy(program, durations).makespan_ps()
    for structure in (folded, whole):
        if makespans(program, durations, structure) != reference:
            raise SystemExit("the batched replay differs from simpy")
    simpy_rate = len(program) / best_of(lambda: replay_simpy(program, durations))
    print(f"{'engine':<10}{'scenarios':>10}{'operators/s':>14}{'steps/s':>12}{'x simpy':>10}")
    print(f"{'simpy':<10}{1:>10}{simpy_rate:>14.3g}{simpy_rate / len(program):>12.3g}{1:>10}")
    for scenarios in sorted({1, 100, arguments.scenarios}):
        times = sweep(program, scenarios)
        for name, structure in (("whole", whole), ("folded", folded)):
            steps = scenarios / best_of(lambda t=times, s=structure: makespans(program, t, s))
            rate = steps * len(program)
            print(f"{name:<10}{scenarios:>10}{rate:>14.3g}{steps:>12.4g}{rate / simpy_rate:>10.0f}")
    times = sweep(program, arguments.scenarios)
    steps = arguments.scenarios / best_of(lambda: summarise(program, times))
    print(f"{'summary':<10}{arguments.scenarios:>10}{steps * len(program):>14.3g}{steps:>12.4g}")
    rate, one = cost_and_replay(arguments.scenarios)
    print(f"build + cost + replay of {arguments.scenarios} steps: {rate:.4g} steps/s; of one step: {1e3 * one:.0f} ms")


if __name__ == "__main__":
    main()
